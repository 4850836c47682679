#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What perf/ makes of figures: the verdicts of perf/run and the pictures of perf/plot."""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

PERF = pathlib.Path(__file__).resolve().parent.parent / "perf"
sys.path.insert(0, str(PERF))
sys.dont_write_bytecode = True
from report import gates, tables  # noqa: E402


def path_row(way, sas, crypto, path, suite=gates.CBC, size=256):
    return {"direction": way, "ip": 6, "alg": suite[0], "ealg": suite[1], "bytes": size, "sas": sas,
            "crypto_cycles": crypto, "path_cycles": path, "ratio": crypto / path}


def judged(**results):
    nothing = {"paths": [], "workers": [], "control": {}, "memory": {}, "rejects": {},
               "latency": {}}
    return {gate["what"]: gate for gate in gates.judge({**nothing, **results})}


class Gates(unittest.TestCase):
    def test_the_worst_case_decides(self):
        gate = judged(paths=[path_row("in", 1_000_000, 90, 100), path_row("out", 1_000_000, 70, 100)])
        gate = gate["crypto / path, AES-CBC + SHA1, 256 B, 1M SAs"]
        self.assertEqual((gate["value"], gate["where"]), (0.7, "out, IPv6, 256 B"))
        self.assertEqual(gate["verdict"], "short by 0.1")

    def test_a_target_is_reached_at_its_limit(self):
        gate = judged(paths=[path_row("in", 1_000_000, 80, 100)])
        self.assertEqual(gate["crypto / path, AES-CBC + SHA1, 256 B, 1M SAs"]["verdict"], "reached")

    def test_what_was_not_measured_is_not_reached(self):
        self.assertEqual({gate["verdict"] for gate in judged().values()}, {"not measured"})

    def test_growth_is_of_the_same_case_with_one_sa(self):
        rows = [path_row("in", 1, 200, 300), path_row("in", 1_000_000, 220, 450),
                path_row("in", 1, 900, 1000, size=1400),
                path_row("in", 1_000_000, 900, 1000, size=1400)]
        gate = judged(paths=rows)["cost at 1M SAs / at 1 SA, hmac-sha-1-96 + aes-cbc"]
        self.assertEqual((gate["value"], gate["verdict"]), (1.5, "short by 0.15"))

    def test_gcm_may_grow_as_its_crypto_does(self):
        rows = [path_row("in", 1, 100, 200, gates.GCM),
                path_row("in", 1_000_000, 300, 660, gates.GCM)]
        gate = judged(paths=rows)["the same over the crypto's own growth, AES-GCM"]
        self.assertEqual((gate["value"], gate["verdict"]), (1.1, "reached"))

    def test_rejects_take_the_dearest_number_of_sas_and_no_wrong_icv(self):
        kinds = lambda share: {"kinds": {"runt": {"share": share}, "bad_icv": {"share": 0.9}}}
        rows = judged(rejects={"10000": kinds(0.1), "1000000": kinds(0.3)})
        self.assertEqual(rows["a rejected packet / a good one: runt"]["value"], 0.3)
        self.assertNotIn("a rejected packet / a good one: bad_icv", rows)


class Plot(unittest.TestCase):
    def test_draws_path_and_crypto_of_every_suite(self):
        rows = [path_row(way, sas, 200, 250 + sas / 10_000, suite)
                for suite in (gates.CBC, gates.GCM) for way in ("in", "out")
                for sas in (1, 10_000, 1_000_000)]
        figures = {"machine": {"cpu": "a CPU", "commit": "0", "date": "2026-11-21T00:00:00",
                               "tsc_hz": 2.6e9}, "paths": rows}
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "figures.json"
            source.write_text(json.dumps(figures))
            subprocess.run([PERF / "plot", source, folder], check=True)
            picture = xml.parse(pathlib.Path(folder) / "mpps_by_sas.svg")
        lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
        self.assertEqual(len(lines), 2 * 2 * 2)  # suites, path or crypto, directions
        heights = [[float(point.split(",")[1]) for point in line.get("points").split()]
                   for line in lines]
        crypto, path = heights[0], heights[2]
        self.assertEqual(len(set(crypto)), 1, "the same with any number of SAs")
        self.assertLess(path[0], path[2], "slower is lower, and y goes down")

    def plot(self, figures):
        """perf/plot's words and status, and what it drew by SAs."""
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "figures.json"
            source.write_text(figures if isinstance(figures, str) else json.dumps(figures))
            result = subprocess.run([PERF / "plot", source, pathlib.Path(folder) / "new" / "one"],
                                    capture_output=True, text=True, check=False)
            picture = pathlib.Path(folder) / "new" / "one" / "mpps_by_sas.svg"
            return result, picture.read_text() if picture.exists() else ""

    def test_text_is_escaped_and_ipv4_alone_is_drawn_as_such(self):
        rows = [{**path_row("in", sas, 200, 250), "ip": 4} for sas in (1, 1_000_000)]
        result, picture = self.plot({"machine": {"cpu": "A<B>&C", "commit": "0", "tsc_hz": 2.6e9,
                                                 "date": "2026-11-21"}, "paths": rows})
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        words = "".join(xml.fromstring(picture).itertext())
        self.assertIn("A<B>&C, one core, IPv4,", words)

    def test_what_is_no_figures_is_refused_in_one_sentence(self):
        for figures in ("", "{", "[]", "{}", "7", {"machine": {}, "paths": [{}]},
                        {"machine": {}, "paths": [path_row("in", 1, 2, 3)]},
                        {"machine": {"cpu": "", "commit": "", "date": "", "tsc_hz": None},
                         "paths": [path_row("in", 1, 2, 3)]},
                        {"machine": {}, "paths": []}):
            result, picture = self.plot(figures)
            self.assertEqual((result.returncode, picture), (1, ""), figures)
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
            self.assertTrue(result.stderr.startswith("perf/plot: "), result.stderr)


def load_run(build):
    loader = importlib.machinery.SourceFileLoader("perf_run", str(PERF / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("perf_run", loader))
    loader.exec_module(module)
    module.BUILD, module.BENCHES = build, ["path_bench", "control_bench"]
    return module


class Run(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "perf").mkdir()
        self.run_ = load_run(self.folder)

    def bench(self, name, printed, status=0):
        file = self.folder / "perf" / name
        file.write_text(f"#!/bin/sh\necho broken >&2\ncat <<'END'\n{printed}\nEND\nexit {status}\n")
        file.chmod(0o755)

    def measured(self, name, printed, status=0):
        self.bench(name, printed, status)
        runner = self.run_.Runner(60)
        results, _ = self.run_.measure(runner, True)
        return runner, results, [row["why"] for row in runner.left_out if name in row["what"]]

    def test_a_bench_that_fails_is_left_out_whatever_it_printed(self):
        runner, results, why = self.measured("control_bench", '{"installs_per_s": 600000}', 3)
        self.assertEqual((runner.taken, results["control"], why), (0, {}, ["broken"]))
        runner, results, why = self.measured("control_bench", '{"installs_per_s": 600000}')
        self.assertEqual((runner.taken, why), (1, []))
        self.assertEqual(results["control"], {"installs_per_s": 600000})

    def test_json_of_another_shape_is_left_out(self):
        for printed in ("[]", "{}", "7", "null", '{"memory": 3}', '{"traffic": []}',
                        '{"installs_per_s": "many"}'):
            runner, results, why = self.measured("control_bench", printed)
            self.assertEqual((runner.taken, results["control"], len(why)), (0, {}, 1), printed)
        for printed in ("[]", "{}", '{"benchmarks": 1}', '{"benchmarks": [1]}',
                        '{"benchmarks": [{"name": "a+b/ip:6"}]}'):
            runner, results, why = self.measured("path_bench", printed)
            self.assertEqual((runner.taken, results["paths"]), (0, []), printed)
            self.assertTrue(all("another shape" in reason for reason in why) and why, why)

    def test_every_run_of_ring_bench_is_shown(self):
        run = '{"calls": "challenged", "per_s": 90000, "client_us": 1, "control_us": 6.5, "bytes": 3002, "live_sas": 4}'
        for printed in ("{}", '{"registrations": 1}', '{"runs": [' + run + "]}",
                        '{"registrations": 1, "runs": [7]}', '{"registrations": "x", "runs": []}'):
            runner, results, why = self.measured("ring_bench", printed)
            self.assertEqual((runner.taken, results["rings"], len(why)), (0, {}, 1), printed)
        printed = '{"registrations": 1, "runs": [' + run + ", " + run + "]}"
        runner, results, why = self.measured("ring_bench", printed)
        self.assertEqual((runner.taken, why), (1, []))
        self.assertEqual(tables.ring_rows(results["rings"]),
                         [["challenged", "90,000", "1.00", "6.50", "3,002", "4"]] * 2)

    def test_fails_when_nothing_was_measured(self):
        self.run_.build, self.run_.BENCHES = lambda: None, []
        old, sys.argv = sys.argv, ["run"]
        try:
            with self.assertRaises(SystemExit) as ended, open(os.devnull, "w") as nowhere:
                out, sys.stdout = sys.stdout, nowhere
                try:
                    self.run_.main()
                finally:
                    sys.stdout = out
        finally:
            sys.argv = old
        self.assertEqual(ended.exception.code, "perf/run: nothing was measured")

    def test_refuses_a_file_it_cannot_write_before_it_measures(self):
        for file in (self.folder, self.folder / "none" / "figures.json"):
            result = subprocess.run([PERF / "run", "--json", file], capture_output=True, text=True,
                                    check=False, timeout=30)
            self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1))
            self.assertIn(f"cannot write {file}: ", result.stderr)


if __name__ == "__main__":
    unittest.main()
