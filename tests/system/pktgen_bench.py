#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""perf/pktgen/run for a few seconds: each link and direction gives a rate, no frame is unaccounted
for, and the generator counts as lost what the engine drops."""

import json
import subprocess
import sys
import tempfile
import types

import lab
import report

PKTGEN = lab.pathlib.Path(__file__).parents[2] / "perf" / "pktgen"
sys.path.insert(0, str(PKTGEN))
import bed  # noqa: E402  (found there)
import load  # noqa: E402

BYTES = 300
PACKETS = 2000
UES = 50
SLOW_PPS = 20000  # what a busy machine takes through any link
TRIAL = ["--sizes", str(BYTES), "--seconds", "0.05", "--packets", str(PACKETS), "--ues", str(UES),
         "--ramp", "1,20", "--soak", "1", "--steps", "14", "--tries", "3", "--top", "100000"]


def run(link, *words):
    with tempfile.NamedTemporaryFile() as file:
        done = subprocess.run([str(PKTGEN / "run"), "--link", link, *TRIAL, "--build",
                               str(lab.BUILD), "--json", file.name, *words],
                              capture_output=True, text=True, check=False, timeout=120)
        report.check(done.returncode == 0, f"status {done.returncode}: {done.stderr[-500:]}")
        return json.loads(lab.pathlib.Path(file.name).read_text())


def check_results(results, directions):
    report.check_equal([row["direction"] for row in results["throughput"]], list(directions),
                       "directions")
    report.check_equal([(row["direction"], row["ues"]) for row in results["ramp"]],
                       [(direction, ues) for direction in directions for ues in (1, 20)], "ramp")
    for row in results["throughput"] + results["ramp"]:
        report.check(row["pps"] > 0, f"no rate passes: {row}")
        report.check_equal((row["bytes"], row["loss"]), (BYTES, 0), "bytes, loss")
    report.check(any(row["latency_ns"] for row in results["latency"]), "no latency")
    for row in results["soak"]:
        report.check(row["offered"] > 0, f"nothing offered: {row}")
        report.check_equal(row["unaccounted"], 0, "frames unaccounted for")


def options(link):
    return types.SimpleNamespace(
        build=lab.BUILD, link=link, ip="6", alg="null", ealg="aes-gcm", packets=PACKETS,
        seconds=1, tries=1, repeat_until=0, cpus=sorted(lab.os.sched_getaffinity(0)))


def check_honest():
    """The capture a second time, with the SAs that have seen it: all of it is lost."""
    with bed.Bed(options("memif"), "in", 1000) as test_bed:
        generator = load.Load(test_bed)
        bench = load.Bench(test_bed, generator, UES, BYTES)
        first = bench.trial(SLOW_PPS)
        report.check_equal((first["offered"], first["received"]), (PACKETS, PACKETS),
                           "offered and received")
        report.check_equal(test_bed.drops(), {}, "drops")
        again = generator.ask(f"trial {SLOW_PPS} 1 once")
        report.check_equal((again["offered"], again["received"]), (PACKETS, 0),
                           "offered and received again")
        report.check("latency_ns" not in again, "a latency of what was lost")
        report.check_equal(test_bed.drops(), {"replayed": PACKETS}, "drops")
        report.check_equal(test_bed.unaccounted(), 0, "frames unaccounted for")
        for words in ("trial", "trial -1 1 once", "trial 1 1 twice", "capture /etc/passwd",
                      "capture /nonexistent"):
            try:
                generator.ask(words)
            except bed.BenchError:
                continue
            raise report.Failure(f"the generator obeys: {words}")


def run_cases(results):
    with results.case("pktgen: what the engine drops the generator counts as lost"):
        check_honest()
    with results.case("pktgen: memif, all measurements and directions"):
        check_results(run("memif"), bed.DIRECTIONS)
    with results.case("pktgen: af_packet, one engine and two"):
        check_results(run("af_packet", "--top", "2000"), bed.DIRECTIONS)


if __name__ == "__main__":
    report.run(run_cases)
