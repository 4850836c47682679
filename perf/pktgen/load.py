# SPDX-License-Identifier: BSD-3-Clause
"""The generator of the project's own (load.cc), and the search for the highest rate without
loss."""

import json
import pathlib
import subprocess
import time

import bed

DISTURBED = 0.01  # of a trial that a thread waited for its CPU: a worker then catches up, or loses
MORE_TRIES = 3    # times as many for disturbed ones


class Load:
    """One generator for one bed: captures in, trials out."""

    def __init__(self, test_bed):
        send, receive = test_bed.ports()
        words = [*test_bed.inside, str(test_bed.build / "perf/pktgen/pktgen_load"),
                 "--cpu", str(test_bed.generator_cpu), "--send", send, "--receive", receive]
        if test_bed.options.link in ("vhost", "nic"):
            words.append("--hugepages")
        self._process = None
        test_bed.callback(self._stop)
        for tries_left in reversed(range(bed.FANOUT_TRIES)):
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=subprocess.PIPE, text=True)
            try:
                self._answer()
                break
            except bed.BenchError as error:
                if tries_left == 0 or not bed.is_fanout_collision(str(error)):
                    raise
                self._stop()
        self.pid = self._process.pid

    def ask(self, words):
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": self._process.stderr.read().strip()}
        if "error" in answer:
            raise bed.BenchError(f"generator: {answer['error']}")
        return answer

    def _stop(self):
        if self._process is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def waiting_ns(pids):
    """How long the threads of these processes have been ready but not running (schedstat)."""
    return sum(int(file.read_text().split()[1]) for pid in pids
               for file in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


class Bench:
    """One direction with so many UEs and bytes; trials of it at a rate."""

    def __init__(self, test_bed, load, ues, ip_bytes):
        self._bed, self._load, self._options = test_bed, load, test_bed.options
        self.facts = {"direction": test_bed.direction, "ues": ues, "bytes": ip_bytes}
        self._pids = [load.pid, *(engine.pid for engine in test_bed.engines)]
        self._load.ask(f"capture {test_bed.make_traffic(ues, ip_bytes, self._options.packets)}")
        self._bed.install()

    def trial(self, pps, seconds=None):
        """Each frame of ESP is sent once (RFC 4303 3.4.3), and the SAs are new for each trial."""
        once = self._bed.direction == "in"
        if once:
            self._bed.install()
        seconds = seconds or self._options.seconds
        before, begin = waiting_ns(self._pids), time.monotonic()
        result = self._load.ask(f"trial {pps:.0f} {seconds} {'once' if once else 'loop'}")
        waited = (waiting_ns(self._pids) - before) * 1e-9 / (time.monotonic() - begin)
        result["waited"] = round(waited, 4)
        result["loss"] = 1 - result["received"] / max(result["offered"], 1)
        return result

    def quiet_trial(self, pps):
        """The try with the lowest latency at its 99th percentile."""
        tries = [self.trial(pps) for _ in range(self._options.tries)]
        return min(tries, key=lambda t: t.get("latency_ns", {}).get("p99", float("inf")))

    def _passes(self, pps, limit):
        """The first good one of some tries, and of some more while others use these CPUs too. None:
        each had more loss."""
        tries = self._options.tries
        for number in range(MORE_TRIES * tries):
            result = self.trial(pps)
            if result["loss"] <= limit:
                return result
            self._last = result
            disturbed = (result["waited"] > DISTURBED and
                         time.monotonic() < self._options.repeat_until)
            if number + 1 >= tries and not disturbed:
                break
        return None

    def highest(self, limit):
        """RFC 2544 26.1 by bisection: the highest rate whose loss is within the limit."""
        low, high, best = 0.0, float(self._options.top), None
        while (found := self._passes(high, limit)) and not self._limited(found):
            low, high, best = high, 2 * high, found
        if found:
            return self._named(found, limit)
        # What came through when far too much was offered is a good first guess.
        rate = max(self._last["received_pps"], low)
        for _ in range(self._options.steps):
            found = self._passes(rate, limit)
            if found:
                low, best = rate, found
            else:
                high = rate
            rate = min((low + high) / 2, 1.25 * low) if low else high / 2
        return self._named(best, limit)

    @staticmethod
    def _limited(result):
        """A rate that the generator could not offer is the generator's limit, not the engine's."""
        return result["offered_pps"] < 0.95 * result["wanted_pps"]

    def _named(self, best, limit):
        if best is None:
            return {**self.facts, "loss_limit": limit, "pps": 0, "limited_by": "loss"}
        pps = min(best["offered_pps"], best["received_pps"])
        return {**self.facts, "loss_limit": limit, "pps": pps,
                "gbit_s": round(pps * self.facts["bytes"] * 8e-9, 3),
                "offered": best["offered"], "loss": best["loss"], "waited": best["waited"],
                "limited_by": "generator" if self._limited(best) else "loss"}
