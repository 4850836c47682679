# SPDX-License-Identifier: BSD-3-Clause
"""Throughput by dpdk-testpmd (package dpdk-dev): another program's opinion. It cannot keep to a
rate: it repeats a capture (net_pcap, infinite_rx) and waits where the engine is full, so that what
comes out is what the engine works off. Numbers repeat, so `in` has SAs without a replay window."""

import shutil
import subprocess
import sys
import time

import bed

SETTLE_SECONDS = 1.5
PACKETS = 4096  # of the capture: they stay in testpmd's memory


class Runner:
    def __init__(self, options):
        self.options = options
        if set(options.what) != {"throughput"} or options.link not in ("memif", "af_packet"):
            raise bed.BenchError("--testpmd: throughput, through memif or af_packet")
        if not shutil.which("dpdk-testpmd"):
            raise bed.BenchError("dpdk-testpmd is missing: apt-get install dpdk-dev")
        options.packets, options.window = PACKETS, 0
        options.seconds = max(options.seconds, 1)
        self.results = {"throughput": []}

    def run(self):
        for direction in self.options.directions:
            for ip_bytes in self.options.sizes:
                # New engines each time: net_memif does not always outlive its peer (DPDK 22.11).
                with bed.Bed(self.options, direction, 131072) as test_bed:
                    print(f"... {direction}: {ip_bytes}", file=sys.stderr, flush=True)
                    self.results["throughput"].append(self._measure(test_bed, ip_bytes))

    def _command(self, test_bed, capture):
        send, receive = test_bed.ports()
        devices = (f"net_pcap0,rx_pcap={capture},infinite_rx=1", send, receive, "net_null0,no-rx=1")
        # Ports in the order of the words: 0 to 1, and what comes from 2 to 3.
        return [*test_bed.inside, "dpdk-testpmd",
                "--lcores", f"0@{test_bed.generator_cpu},1@{test_bed.generator_cpu}",
                "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", "--iova-mode=va",
                "--file-prefix", "gmesp-perf", *(f"--vdev={device}" for device in devices),
                "--", "-i", "--total-num-mbufs=32768", "--port-topology=paired"]

    def _measure(self, test_bed, ip_bytes):
        capture = test_bed.make_traffic(self.options.ues, ip_bytes, self.options.packets)
        test_bed.install()
        process = subprocess.Popen(self._command(test_bed, capture), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        test_bed.callback(self._end, process)
        process.stdin.write("set fwd io retry\nset burst tx delay 1 retry 1000000\nstart\n")
        process.stdin.flush()
        time.sleep(SETTLE_SECONDS)
        before, begin = self._passed(test_bed), time.monotonic()
        time.sleep(self.options.seconds)
        after, end = self._passed(test_bed), time.monotonic()
        if process.poll() is not None:
            raise bed.BenchError(f"dpdk-testpmd: {process.stdout.read()[-800:]}")
        self._end(process)
        pps = round((after[0] - before[0]) / (end - begin))
        lost = after[1] - before[1]
        return {"direction": test_bed.direction, "ues": self.options.ues, "bytes": ip_bytes,
                "loss_limit": None, "pps": pps, "gbit_s": round(pps * ip_bytes * 8e-9, 3),
                "offered": after[0] - before[0] + lost,
                "loss": lost / max(after[0] - before[0] + lost, 1), "limited_by": "engine"}

    @staticmethod
    def _passed(test_bed):
        """Protected packets of the last engine, and the drops of all."""
        totals = test_bed.engines[0].totals()
        return (totals["protected_in"] + totals["protected_out"],
                sum(engine.totals()["dropped"] for engine in test_bed.engines))

    @staticmethod
    def _end(process):
        if process.poll() is not None:
            return
        try:
            process.communicate("stop\nquit\n", timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
