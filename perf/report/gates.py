# SPDX-License-Identifier: BSD-3-Clause
"""The targets, and how far they are reached: a row each. Ratios inside one run; nothing fails."""

CBC = ("hmac-sha-1-96", "aes-cbc")
GCM = ("null", "aes-gcm")


def suite(row):
    return row["alg"], row["ealg"]


def number(value):
    return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def gate(what, target, value, at_least, where="", unit=""):
    """A row of the table. value None: not measured."""
    if value is None:
        verdict = "not measured"
    elif value >= target if at_least else value <= target:
        verdict = "reached"
    else:
        verdict = f"short by {number(abs(value - target))}{unit}"
    return {"what": what, "target": f"{'>=' if at_least else '<='} {number(target)}{unit}",
            "value": value, "unit": unit, "where": where, "verdict": verdict}


def place(row):
    return f"{row['direction']}, IPv{row['ip']}, {row['bytes']} B"


def worst(what, target, rows, value, at_least):
    """Of all rows the one furthest from the target."""
    if not rows:
        return gate(what, target, None, at_least)
    row = (min if at_least else max)(rows, key=value)
    return gate(what, target, round(value(row), 4), at_least, place(row))


def path_gates(paths):
    gates = []
    for size, target in ((256, 0.80), (1400, 0.88)):
        rows = [row for row in paths
                if suite(row) == CBC and row["bytes"] == size and row["sas"] == 1_000_000]
        gates.append(worst(f"crypto / path, AES-CBC + SHA1, {size} B, 1M SAs", target, rows,
                           lambda row: row["ratio"], True))
    return gates


def with_one_sa(paths):
    """Rows at 1M SAs, each with the row that differs from it by having one SA."""
    key = lambda row: (suite(row), row["direction"], row["ip"], row["bytes"])
    one = {key(row): row for row in paths if row["sas"] == 1}
    return [(row, one[key(row)]) for row in paths if row["sas"] == 1_000_000 and key(row) in one]


def flat_gates(paths):
    gates = []
    pairs = [{**row, "path_growth": row["path_cycles"] / one["path_cycles"],
              "crypto_growth": row["crypto_cycles"] / one["crypto_cycles"]}
             for row, one in with_one_sa(paths)]
    for alg, ealg in sorted({suite(row) for row in pairs} - {GCM}):
        gates.append(worst(f"cost at 1M SAs / at 1 SA, {alg} + {ealg}", 1.35,
                           [row for row in pairs if suite(row) == (alg, ealg)],
                           lambda row: row["path_growth"], False))
    gates.append(worst("the same over the crypto's own growth, AES-GCM", 1.2,
                       [row for row in pairs if suite(row) == GCM],
                       lambda row: row["path_growth"] / row["crypto_growth"], False))
    return gates


def worker_gates(workers):
    rows = [row for row in workers if row["sas"] == 1_000_000]
    return [worst("two workers over one / the crypto's gain, 1M SAs", 0.95, rows,
                  lambda row: row["ratio"], True)]


def rate_gate(control, key, what):
    quiet = control.get(f"{key}_quiet")
    return gate(what, 500_000, control.get(key), True,
                f"{quiet:,} while undisturbed" if quiet else "")


def control_gates(control):
    lost = control.get("traffic", {}).get("lost")
    p99_us = control.get("first_packet_us", {}).get("p99")
    return [rate_gate(control, "installs_per_s", "SA installs a second, under traffic"),
            rate_gate(control, "deletes_per_s", "SA deletes a second, under traffic"),
            gate("1M SAs installed", 5, control.get("million_s"), False, unit=" s"),
            gate("dequeue to first packet accepted, p99", 1,
                 None if p99_us is None else p99_us / 1000, False, unit=" ms"),
            gate("packets of other SAs lost", 0, lost, False)]


def memory_gate(memory):
    cbc = memory.get("+".join(CBC), {})
    values = [cbc[key] for key in ("total", "measured_rss") if key in cbc]
    return gate("memory for an AES-CBC SA, all told", 512, max(values) if values else None, False,
                unit=" bytes")


def latency_gates(latency):
    """The median of lone packets while the worker polls. 3DES apart: one job alone in its lanes
    takes longer than all the rest together."""
    rows = [{"suite": name, "way": way, "us": figures["p50_us"]}
            for name, ways in latency.items() for way, figures in ways.items()]
    gates = []
    for title, wanted in (("all suites but 3DES", False), ("3DES", True)):
        mine = [row for row in rows if ("des-ede3" in row["suite"]) == wanted]
        most = max(mine, key=lambda row: row["us"], default={"us": None, "suite": "", "way": ""})
        gates.append(gate(f"a lone packet, port to port, median, {title}", 20, most["us"], False,
                          f"{most['suite']}, {most['way']}" if mine else "", " us"))
    return gates


def reject_gates(rejects):
    """A row for each kind, with however many SAs it costs most. Not for what only the
    crypto knows (a wrong ICV), or only time (a fragment that waits in vain)."""
    rows = {}
    for sas, figures in rejects.items():
        for kind, cost in figures["kinds"].items():
            rows.setdefault(kind, []).append({"share": cost["share"], "where": f"{int(sas):,} SAs"})
    if not rows:
        return [gate("a rejected packet / a good one", 0.25, None, False)]
    gates = []
    rows.pop("bad_icv", None)
    rows.pop("lone_fragment", None)
    for kind, costs in rows.items():
        most = max(costs, key=lambda cost: cost["share"])
        gates.append(gate(f"a rejected packet / a good one: {kind}", 0.25, most["share"], False,
                          most["where"]))
    return gates


def judge(results):
    return [*path_gates(results["paths"]), *flat_gates(results["paths"]),
            *worker_gates(results["workers"]), *control_gates(results["control"]),
            memory_gate(results["memory"]), *latency_gates(results["latency"]),
            *reject_gates(results["rejects"])]
