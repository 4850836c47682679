# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: one gmespd or two back to back on one machine, the links to the generator, and
traffic of mkpcap for them.

    out:        generator --UDP--> [host] gmespd [access] --ESP--> generator
    in:         generator --ESP--> [access] gmespd [host] --UDP--> generator
    roundtrip:  generator --UDP--> [host] gmespd, ue [access] --ESP-->
                                                       [access] gmespd [host] --UDP--> generator
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
FIXED_FOLDER = "/run/gmesp-perf"  # of the configurations; a run has its own
MEMIF = "net_memif{},role=client,id={},socket=" + FIXED_FOLDER + "/{},socket-abstract=no,rsize=14"
VIRTIO = "virtio_user{},path=" + FIXED_FOLDER + "/vhost{},queue_size=1024"
# The generator's ports: at the UEs' end (out, in), at the UEs' host (roundtrip), at the P-CSCF's.
PORTS = {
    "memif": {"ue": MEMIF.format(0, 0, "memif"), "ue-host": MEMIF.format(0, 0, "memif-ue"),
              "host": MEMIF.format(1, 1, "memif")},
    "af_packet": {"ue": "net_af_packet0,iface=gen0", "ue-host": "net_af_packet0,iface=gen0",
                  "host": "net_af_packet1,iface=gen1"},
    "vhost": {"ue": VIRTIO.format(0, 0), "host": VIRTIO.format(1, 1)},
}
VETHS = {False: (("acc0", "gen0"), ("hst0", "gen1")),
         True: (("acc0", "acc1"), ("hst1", "gen0"), ("hst0", "gen1"))}
DIRECTIONS = ("out", "in", "roundtrip")


class BenchError(Exception):
    """The bench itself could not be set up."""


def command(*argv):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(map(str, argv))}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


# net_af_packet names its fanout group by process id XOR interface index: two processes of one namespace
# can mean the same group, and the later one is refused. Another process id, another group.
FANOUT_TRIES = 8


def is_fanout_collision(words):
    return "PACKET_FANOUT" in words


class Engine:
    """One gmespd and its command line."""

    def __init__(self, bed, configuration, cpu, shared_cpu):
        text = configuration.read_text().replace(FIXED_FOLDER, str(bed.folder))
        text = re.sub(r"(?m)^cpus = .*", f"cpus = [{cpu}]", text)
        text = re.sub(r"(?m)^capacity = .*", f"capacity = {bed.capacity}", text)
        if shared_cpu:
            text = re.sub(r"(?m)^idle = .*", 'idle = "adaptive"', text)
        self._name = configuration.stem
        self._socket = re.search(r'(?m)^socket = "(.*)"', text)[1]
        self._build = bed.build
        file = bed.folder / configuration.name
        file.write_text(text)
        self._log = file.with_suffix(".log")
        argv = [*bed.inside, str(bed.build / "tools/gmespd"), "-c", str(file)]
        self._process = None
        bed.callback(self.stop)
        for tries_left in reversed(range(FANOUT_TRIES)):
            words = self._start(argv)
            if words is None:
                break
            if tries_left == 0 or not is_fanout_collision(words):
                raise BenchError(f"gmespd {self._name}: {words}")
        self.pid = self._process.pid  # ip netns exec becomes what it runs

    def _start(self, argv):
        """None: it is ready; else its last words."""
        with self._log.open("w") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while "ready" not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                return self._log.read_text().strip()
            time.sleep(0.05)
        return None

    def gmespctl(self, *words):
        answers = command(self._build / "tools/gmespctl", "-s", self._socket, "-j", *words)
        return json.loads(answers.splitlines()[-1])

    def install(self, script):
        """In place of the SAs before: their sequence numbers and windows start anew."""
        self.gmespctl("sa", "flush", "all")
        self.gmespctl("-f", script)

    def install_command(self, script):
        ctl = f"{self._build}/tools/gmespctl -s {self._socket}"
        return f"{ctl} sa flush all >/dev/null && {ctl} -f {script} >/dev/null"

    def drops(self):
        return {row["reason"]: row["count"] for row in self.gmespctl("drops")["drops"]
                if row["count"] != 0}

    def totals(self):
        return self.gmespctl("stats")["total"]

    def stop(self):
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Bed(contextlib.ExitStack):
    """The engines of one direction; leaving it ends them."""

    def __init__(self, options, direction, capacity):
        super().__init__()
        self.options, self.direction, self.capacity = options, direction, capacity
        self.build = options.build
        self.roundtrip = direction == "roundtrip"
        self.inside = []  # words that run a program in the bed's network namespace

    def __enter__(self):
        super().__enter__()
        try:
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gmesp-perf-"))
            self.callback(shutil.rmtree, self.folder, ignore_errors=True)
            if self.options.link == "af_packet":
                self._make_veths()
            self._start_engines()
        except BaseException:
            self.close()
            raise
        return self

    def _make_veths(self):
        name = f"gmesp-perf-{os.getpid()}"
        command("ip", "netns", "add", name)
        self.callback(command, "ip", "netns", "del", name)
        self.inside = ["ip", "netns", "exec", name]
        # Nothing but the engines and the generator speaks here.
        command(*self.inside, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        for pair in VETHS[self.roundtrip]:
            command("ip", "-n", name, "link", "add", pair[0], "type", "veth", "peer", "name",
                    pair[1])
            for interface in pair:
                command(*self.inside, "ethtool", "-K", interface, *itertools.chain.from_iterable(
                    (what, "off") for what in ("tx", "rx", "tso", "gso", "gro")))
                command("ip", "-n", name, "link", "set", interface, "promisc", "on", "arp", "off",
                        "up")

    def _start_engines(self):
        """The generator has the first CPU, each engine the next while there are any."""
        names = [self.options.link, self.options.link + "-ue"][:1 + self.roundtrip]
        cpus = self.options.cpus
        workers = [cpus[1 + i] if 1 + i < len(cpus) else cpus[-1] for i in range(len(names))]
        shared = len(set((cpus[0], *workers))) <= len(names)
        self.engines = [Engine(self, HERE / f"{name}.toml", cpu, shared)
                        for name, cpu in zip(names, workers)]
        self.generator_cpu = cpus[0]

    def ports(self):
        """The devices on which the generator sends and receives."""
        if self.options.link == "nic":
            ports = dict(zip(("ue", "host"), self.options.ports))
            ports["ue-host"] = ports["ue"]
        else:
            ports = {end: text.replace(FIXED_FOLDER, str(self.folder))
                     for end, text in PORTS[self.options.link].items()}
        ends = {"out": ("host", "ue"), "in": ("ue", "host"), "roundtrip": ("ue-host", "host")}
        return [ports[end] for end in ends[self.direction]]

    def make_traffic(self, ues, ip_bytes, packets):
        """mkpcap's files; the capture of this direction is returned."""
        kind = {"out": "plain", "in": "esp", "roundtrip": "ue-plain"}[self.direction]
        self._files = {name: self.folder / name for name in ("sa", "peer", kind)}
        words = ["mkpcap", "ues", ues, "packets", packets, "bytes", ip_bytes,
                 "ip", self.options.ip, "alg", self.options.alg, "ealg", self.options.ealg,
                 "dir", {"out": "out", "in": "in"}.get(self.direction, "both")]
        if hasattr(self.options, "window"):
            words += ["window", self.options.window]
        for name, file in self._files.items():
            words += [name, file]
        told = json.loads(command(self.build / "tools/gmespctl", "-j", *words))
        self.esp_bytes = told["esp_ip_bytes"]
        return self._files[kind]

    def install_command(self):
        """What install() does, as a line for a shell."""
        (engine,) = self.engines
        return engine.install_command(self._files["sa"])

    def install(self):
        for engine, name in zip(self.engines, ("sa", "peer")):
            engine.install(self._files[name])

    def drops(self):
        """Reasons with their counts, over all engines."""
        total = {}
        for engine in self.engines:
            for reason, count in engine.drops().items():
                total[reason] = total.get(reason, 0) + count
        return total

    def unaccounted(self):
        """Frames that came into an engine and neither left it nor were counted as dropped."""
        missing = 0
        for engine in self.engines:
            totals = engine.totals()
            missing += sum(totals[port]["rx_packets"] - totals[port]["tx_packets"]
                           for port in ("access", "host")) - totals["dropped"]
        return missing
