# SPDX-License-Identifier: BSD-3-Clause
"""The same measurements by a Pktgen-DPDK that the user has: *.lua in this folder, one process for
each measurement. Pktgen's range mode walks IPv4 addresses; ESP comes from a capture."""

import os
import subprocess
import sys

import bed

FIRST_UE = "10.0.0.1"
PCSCF = "198.51.100.1"
MIN_CAPTURE = 24576  # a shorter one is repeated by Pktgen itself, and its numbers with it
MAX_TOP = 20000000
PATIENCE_SECONDS = 120  # for its start and its end


def to_row(line):
    row = dict(word.split("=", 1) for word in line.rstrip("\n").split("\t"))
    for key, value in row.items():
        try:
            row[key] = float(value) if "." in value or "e" in value else int(value)
        except ValueError:
            pass
    return row


class Runner:
    def __init__(self, options):
        self.options = options
        self.results = {what: [] for what in options.what}
        if options.ip != "4":
            raise bed.BenchError("Pktgen's scripts here are for IPv4")
        options.packets = max(options.packets, MIN_CAPTURE)

    def run(self):
        most = max(self.options.ramp) if "ramp" in self.options.what else 0
        for direction in self.options.directions:
            with bed.Bed(self.options, direction, max(131072, most)) as test_bed:
                for what in self.options.what:
                    print(f"... {direction}: {what}", file=sys.stderr, flush=True)
                    self._measure(test_bed, what)

    def _measure(self, test_bed, what):
        direction = test_bed.direction
        if what == "latency" and direction != "roundtrip" or what == "soak" and direction == "in":
            return  # latency.lua and soak.lua say why
        ues = self.options.ramp if what == "ramp" else [self.options.ues]
        sizes = self.options.sizes if what == "throughput" else self.options.sizes[:1]
        if direction == "in":  # a capture holds one number of UEs, one size
            jobs = [([count], [size]) for count in ues for size in sizes]
        else:
            jobs = [(ues, sizes)]
        for job_ues, job_sizes in jobs:
            self._run_script(test_bed, what, job_ues, job_sizes)

    def _environment(self, test_bed, ues, sizes, result):
        words = {"DIRECTION": test_bed.direction, "SIZES": ",".join(map(str, sizes)),
                 "UES": ",".join(map(str, ues)), "UE": FIRST_UE, "PCSCF": PCSCF,
                 "LOSS": ",".join(map(str, self.options.loss)), "SECONDS": self.options.seconds,
                 "STEPS": self.options.steps, "TOP": min(self.options.top, MAX_TOP),
                 "SOAK": self.options.soak, "RESULT": result}
        if test_bed.direction == "in":
            words |= {"FRAMES": self.options.packets, "ESP_BYTES": test_bed.esp_bytes,
                      "RESET": test_bed.install_command()}
        return os.environ | {f"GMESP_{name}": str(value) for name, value in words.items()}

    def _run_script(self, test_bed, what, ues, sizes):
        capture = test_bed.make_traffic(max(ues), sizes[0], self.options.packets)
        test_bed.install()
        result = test_bed.folder / "rows"
        result.write_text("")
        log = test_bed.folder / "pktgen.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                self._command(test_bed, what, capture), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env=self._environment(test_bed, ues, sizes, result))
            test_bed.callback(self._end, process)
            trials = len(ues) * len(sizes) * len(self.options.loss) * (self.options.steps + 4)
            try:
                process.wait(PATIENCE_SECONDS + trials * (self.options.seconds + 4) +
                             (self.options.soak if what == "soak" else 0))
            except subprocess.TimeoutExpired:
                self._end(process)
        rows = [to_row(line) for line in result.read_text().splitlines()]
        for row in rows:
            if row["what"] == "error":
                raise bed.BenchError(f"pktgen: {row['why']}")
        if not rows:
            words = log.read_text(errors="replace")[-800:]
            raise bed.BenchError(f"pktgen gave no result: {words}")
        if what == "soak":
            rows = [self._summed(test_bed, rows)]
        self.results[what] += [self._finished(row) for row in rows]

    def _summed(self, test_bed, parts):
        """The parts of a soak as the other generator's one row."""
        seconds = self.options.soak
        losses = [part["lost"] for part in parts]
        offered = sum(part["sent"] for part in parts)
        return {"what": "soak", "direction": test_bed.direction, "ues": parts[0]["ues"],
                "bytes": parts[0]["bytes"], "seconds": seconds, "pps": round(offered / seconds),
                "offered": offered, "lost": sum(losses),
                "seconds_with_loss": sum(lost != 0 for lost in losses) * seconds / len(parts),
                "drops": test_bed.drops(), "unaccounted": test_bed.unaccounted()}

    @staticmethod
    def _end(process):
        if process.poll() is None:
            process.kill()
            process.wait()

    def _command(self, test_bed, what, capture):
        devices = test_bed.ports()
        cpu = test_bed.generator_cpu
        if self.options.link == "nic":
            eal = ["--lcores", f"0@{cpu},1@{self.options.cpus[-1]}",
                   *(word for device in devices for word in ("-a", device))]
        else:
            # Both lcores on one CPU: its second thread only draws the screen, which is off.
            eal = ["--lcores", f"0@{cpu},1@{cpu}", "--no-pci", "--iova-mode=va",
                   *(f"--vdev={device}" for device in devices)]
            if self.options.link != "vhost":
                eal += ["--no-huge", "-m", "4096"]
        stream = ["-s", f"0:{capture}"] if test_bed.direction == "in" else []
        return [*test_bed.inside, str(self.options.pktgen), *eal, "--file-prefix", "gmesp-perf",
                "--no-telemetry", "--", "-P", "-T", "-m", "1.0,1.1", *stream,
                "-f", str(bed.HERE / f"{what}.lua")]

    @staticmethod
    def _finished(row):
        """As the other generator's rows, so that one table shows both."""
        if row["what"] in ("throughput", "ramp"):
            row["gbit_s"] = round(row["pps"] * row["bytes"] * 8e-9, 3)
            row["limited_by"] = "loss"
        elif row["what"] == "latency":
            # Its mean is computed only while its latency page is on the screen.
            row["latency_ns"] = {key: row[f"{key}_us"] * 1e3 for key in ("min", "avg", "max")
                                 if row[f"{key}_us"] != 0}
        return {key: value for key, value in row.items() if key != "what"}
