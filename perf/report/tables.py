# SPDX-License-Identifier: BSD-3-Clause
"""perf/run's tables, in Markdown that is readable as it stands."""

from report import gates

WAYS = ["prefetched", "direct", "unordered_map"]  # of sad_bench


def table(title, header, rows):
    if not rows:
        return
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    print(f"\n{title}\n")
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("| " + " | ".join(cells) + " |")


def suite(row):
    return f"{row['alg']} + {row['ealg']}"


def show_paths(paths):
    rows = [[suite(row), row["direction"], f"v{row['ip']}", row["bytes"], f"{row['sas']:,}",
             f"{row['sas_used'] / row['sas']:.0%}", round(row["crypto_cycles"]),
             round(row["path_cycles"]), f"{row['ratio']:.2f}",
             f"{row['crypto_median'] / row['path_median']:.2f}",
             f"{row['path_spread']:.0%}", f"{row['mpps']:.2f}"] for row in paths]
    table("Packet paths, one core: TSC cycles a packet, first quartile of rings of 1024; bytes of "
          "the plain IP packet",
          ["suite", "way", "IP", "bytes", "SAs", "used", "crypto", "path", "crypto / path",
           "of medians", "spread", "Mpps"], rows)


def show_workers(workers):
    rows = [[suite(row), row["direction"], row["bytes"], f"{row['sas']:,}",
             f"{row['crypto_gain']:.2f}", f"{row['path_gain']:.2f}", f"{row['ratio']:.3f}",
             f"{row['share_counted']:.0%}"] for row in workers]
    table("Two workers over one, IPv6: how many times one worker's packets, on two CPUs",
          ["suite", "way", "bytes", "SAs", "crypto alone", "path", "path / crypto",
           "rings counted"], rows)


def flat(key, value):
    """Nested objects as rows: dotted name and value."""
    if isinstance(value, dict):
        return [row for name, part in value.items()
                for row in flat(f"{key}.{name}" if key else name, part)]
    return [[key, f"{value:,}" if isinstance(value, int) else value]]


def ring_rows(rings):
    return [[run["calls"], f"{run['per_s']:,}", f"{run['client_us']:.2f}",
             f"{run['control_us']:.2f}", f"{run['bytes']:,}", f"{run['live_sas']:,}"]
            for run in rings["runs"]]


def ring_title(rings):
    return f"Registrations through libgmesp, {rings['registrations']:,} in each run"


def show_rings(rings):
    if rings:
        table(ring_title(rings), ["until", "a second", "us of CPU: client", "control thread",
                                  "bytes each", "live SAs"], ring_rows(rings))


def show_results(results):
    show_paths(results["paths"])
    show_workers(results["workers"])
    show_rings(results["rings"])
    for name in ("control", "memory", "rejects", "latency"):
        table(name.capitalize(), ["figure", "value"], flat("", results[name]))


def show_gates(judged):
    table("Targets; where there are several cases, the one furthest off",
          ["target", "wanted", "measured", "verdict", "case"],
          [[gate["what"], gate["target"], gates.number(gate["value"]), gate["verdict"], gate["where"]]
           for gate in judged])


def argument(parts, key):
    return next(part[len(key) + 1:] for part in parts if part.startswith(key + ":"))


def show_crypto(cases):
    rows, batches = {}, []
    for parts, case in cases:
        batch = argument(parts, "batch")
        if batch not in batches:
            batches.append(batch)
        key = (parts[1], parts[0], argument(parts, "bytes"))
        rows.setdefault(key, []).append(round(case["tsc/packet"]))
    table("Crypto alone: TSC cycles a packet, by packets in a batch",
          ["suite", "way", "bytes", *batches], [[*key, *cycles] for key, cycles in rows.items()])


def show_look_ups(cases):
    rows = {}
    for parts, case in cases:
        key = (parts[0].replace("_look_up", ""), f"{int(argument(parts, 'sas')):,}")
        times = rows.setdefault(key, [None] * len(WAYS))
        times[int(argument(parts, "way"))] = f"{1e9 / case['items_per_second']:.1f}"
    table("SA look-up in random order: ns a packet", ["way", "SAs", *WAYS],
          [[*key, *times] for key, times in rows.items()])


def show_steering(cases):
    table("Finding a packet's worker: TSC cycles a packet", ["what", "cycles"],
          [[parts[0].replace("_", " "), f"{case['cycles']:.1f}"] for parts, case in cases])


def show_windows(cases):
    rows = {}
    for parts, case in cases:
        traffic = "half late" if argument(parts, "late") == "1" else "in order"
        key = (argument(parts, "window"), traffic)
        rows.setdefault(key, []).append(f"{1e9 / case['items_per_second']:.2f}")
    table("Replay window, may_accept and accept: ns a packet",
          ["window", "traffic", "ring of bits", "shifting bits"],
          [[*key, *times] for key, times in rows.items()])
