# SPDX-License-Identifier: BSD-3-Clause
"""Results as tables, whichever generator they are of."""

HEADERS = {
    "throughput": ("direction", "UEs", "bytes", "loss limit", "Mpps", "Gbit/s", "limited by",
                   "waited for CPU"),
    "latency": ("direction", "load", "kpps", "min us", "avg us", "p50 us", "p99 us", "p99.9 us",
                "max us", "loss", "waited for CPU"),
    "soak": ("direction", "seconds", "kpps", "offered", "lost", "seconds with loss", "dropped for",
             "unaccounted"),
}
HEADERS["ramp"] = HEADERS["throughput"]


def waited(row):
    return f"{row['waited']:.1%}" if "waited" in row else "-"


def cells(what, row):
    if what in ("throughput", "ramp"):
        limit = "-" if row["loss_limit"] is None else f"{row['loss_limit']:g}"
        return (row["direction"], row["ues"], row["bytes"], limit,
                f"{row['pps'] / 1e6:.3f}", f"{row.get('gbit_s', 0):.2f}", row["limited_by"],
                waited(row))
    if what == "latency":
        told = row["latency_ns"] or {}
        load = f"{row['load']:.0%}" if row["load"] else "idle"
        return (row["direction"], load, f"{row['pps'] / 1e3:.1f}",
                *(f"{told[key] / 1e3:.1f}" if key in told else "-"
                  for key in ("min", "avg", "p50", "p99", "p999", "max")), f"{row['loss']:.2g}",
                waited(row))
    return (row["direction"], row["seconds"], f"{row['pps'] / 1e3:.1f}", row["offered"],
            row["lost"], f"{row['seconds_with_loss']:g}", " ".join(row["drops"]) or "-",
            row["unaccounted"])


def show(what, rows):
    table = [HEADERS[what], *(tuple(map(str, cells(what, row))) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    print(f"\n{what}\n")
    for row in (table[0], tuple("-" * width for width in widths), *table[1:]):
        print("| " + " | ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                                for i, (cell, width) in enumerate(zip(row, widths))) + " |")
