# SPDX-License-Identifier: BSD-3-Clause
"""The test bed of the system tests: namespaces, one gmespd in the middle, its CLI.

    namespace NAME-ue            namespace NAME-engine                  namespace NAME-core
  +-----------------+      +---------------------------------+      +------------------------+
  | ue0             |      | acc0                       hst0 |      | core0                  |
  | the peer under  | veth |   \\                       /     | veth | raw sockets, or the    |
  | test speaks ESP |======| [access]    gmespd    [host]    |======| kernel's own UDP, TCP; |
  | (raw sockets)   |      |         role pcscf              |      | all in clear           |
  +-----------------+      +---------------------------------+      +------------------------+
     or a Linux guest of its own kernel, whose interface is the tap acc0 itself

gmespd holds acc0 and hst0 through net_af_packet. Both ends are in namespaces of their own: in one
namespace the kernel would answer for either interface and traffic would go around the engine.
The library sends and receives raw frames from outside of the namespaces: a socket stays in the
namespace in which it was opened.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import guest
import raw
import report

BUILD = pathlib.Path(os.environ.get("BUILD", pathlib.Path(__file__).parents[2] / "build"))
UE = {4: "192.0.2.10", 6: "2001:db8::10"}
PCSCF = {4: "192.0.2.1", 6: "2001:db8::1"}
UE_MAC = "02:00:00:00:00:10"
PCSCF_MAC = "02:00:00:00:00:01"
PORT_PC = 5062  # the P-CSCF's protected client and server port (TS 33.203 section 7.1)
PORT_PS = 5063
PREFIX_BITS = {4: 24, 6: 64}
CLONE_NEWNET = 0x40000000

CONFIGURATION = """role = "pcscf"
[control]
socket = "{socket}"
[workers]
cpus = {cpus}
[access]
device = "net_af_packet0,iface=acc0"
[host]
device = "net_af_packet1,iface=hst0"
[policy]
protected_ports = [{port_pc}, {port_ps}, 5064]
[[policy.rule]]
name = "arp"
match = "arp"
[[policy.rule]]
name = "neighbour-discovery"
match = "nd"
[[policy.rule]]
name = "ping"
match = "icmp-echo"
[[policy.rule]]
name = "unprotected-sip"
match = "udp"
local_ports = [5060]
"""


class LabError(Exception):
    """The test bed itself could not be set up, or gmespd refused or died."""


def command(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextlib.contextmanager
def inside(namespace):
    """What this thread opens meanwhile belongs to the namespace (setns is per thread)."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as home, \
            open(f"/run/netns/{namespace}", "rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise LabError(f"setns {namespace}: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


class Lab(contextlib.ExitStack):
    """One test bed; leaving it removes everything, in the reverse order of making."""

    def __init__(self, ue_is_guest=False, workers=1):
        super().__init__()
        name = f"peers-{os.getpid()}"
        self.ue, self.engine, self.core = (f"{name}-{end}" for end in ("ue", "engine", "core"))
        self._ue_is_guest = ue_is_guest
        self._by_itself = set()  # drop reasons that no packet of a test's own is needed for
        self._cpus = sorted(os.sched_getaffinity(0))[:workers]

    def __enter__(self):
        super().__enter__()
        try:
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gmesp-peers-"))
            self.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._make_network()
            self._start_gmespd()
        except BaseException:
            self.close()
            raise
        return self

    def _make_network(self):
        for namespace in (self.ue, self.engine, self.core):
            command("ip", "netns", "add", namespace)
            self.callback(command, "ip", "netns", "del", namespace)
            # The kernel must not speak by itself on what gmespd or a raw socket holds.
            self._set_ipv6(namespace, "default", disabled=True)
        if self._ue_is_guest:
            command("ip", "-n", self.engine, "tuntap", "add", "mode", "tap", "name", "acc0")
        else:
            self._make_veth(self.ue, "ue0", UE_MAC, "acc0")
        self._make_veth(self.core, "core0", PCSCF_MAC, "hst0")
        for interface in ("acc0", "hst0"):
            command("ip", "-n", self.engine, "link", "set", interface, "promisc", "on", "up")

    @staticmethod
    def _set_ipv6(namespace, scope, disabled):
        with inside(namespace):
            pathlib.Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text(
                str(int(disabled)))

    def _make_veth(self, namespace, interface, mac, engine_interface):
        command("ip", "link", "add", interface, "address", mac, "netns", namespace,
                "type", "veth", "peer", "name", engine_interface, "netns", self.engine)
        # A veth promises checksums and segmentation that nobody does on the way to a raw socket.
        for space, name in ((namespace, interface), (self.engine, engine_interface)):
            command("ip", "netns", "exec", space, "ethtool", "-K", name, "tx", "off", "tso", "off",
                    "gso", "off", "gro", "off", "rx", "off")
        command("ip", "-n", namespace, "link", "set", interface, "up")

    def configuration(self, **values):
        """gmespd.toml; a test bed with other devices changes it."""
        return CONFIGURATION.format(**values)

    def _start_gmespd(self):
        program = BUILD / "tools" / "gmespd"
        if not program.exists():
            raise LabError(f"{program} is missing: build first, or set BUILD")
        configuration = self.folder / "gmespd.toml"
        configuration.write_text(self.configuration(
            socket=self.folder / "gmespd.sock", cpus=self._cpus,
            port_pc=PORT_PC, port_ps=PORT_PS))
        self._log = (self.folder / "gmespd.log").open("w+")
        self.callback(self._log.close)
        self._gmespd = subprocess.Popen(
            ["ip", "netns", "exec", self.engine, str(program), "-c", str(configuration)],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True)
        self.callback(self._stop_gmespd)
        deadline = time.monotonic() + 20
        while self._gmespctl("status").returncode != 0:
            if self._gmespd.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"gmespd does not answer: {self._gmespd_words()}")
            time.sleep(0.05)

    def _gmespd_words(self):
        self._log.flush()
        return (self.folder / "gmespd.log").read_text(errors="replace")[-1000:].strip()

    def _stop_gmespd(self):
        self._gmespd.terminate()
        try:
            self._gmespd.wait(10)
        except subprocess.TimeoutExpired:
            self._gmespd.kill()
            self._gmespd.wait()

    def pid(self):
        return self._gmespd.pid

    def check_gmespd(self):
        """Still running? A crash would otherwise show only as lost packets."""
        status = self._gmespd.poll()
        if status is not None:
            raise LabError(f"gmespd ended with status {status}: {self._gmespd_words()}")

    def _gmespctl(self, *words, script=None):
        return subprocess.run(
            [str(BUILD / "tools" / "gmespctl"), "-s", str(self.folder / "gmespd.sock"), "-j",
             *words], input=script, capture_output=True, text=True, check=False,
            timeout=30)

    def gmespctl(self, *words, script=None):
        """The answers as JSON objects, one a line; a refusal raises with its sentence."""
        done = self._gmespctl(*words, script=script)
        if done.returncode != 0:
            raise LabError(f"gmespctl {' '.join(words)}: status {done.returncode}: "
                           f"{(done.stderr + done.stdout).strip()[:500]}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def add_sas(self, sas):
        """`sas`: pairs of direction and Sa. Returns when all of them are usable."""
        script = "".join(sa.gmespctl(direction) + "\n" for direction, sa in sas)
        self.gmespctl("-f", "-", script=script)

    def drops(self):
        """Every drop reason with its count so far."""
        (answer,) = self.gmespctl("drops")
        return {row["reason"]: row["count"] for row in answer["drops"]}

    def new_drops(self, before):
        """Without what a kernel beside the engine causes at moments of its own choice."""
        return {reason: count - before[reason] for reason, count in self.drops().items()
                if count != before[reason] and reason not in self._by_itself}

    def wait_for_drop(self, before, seconds):
        """New drops as soon as there are any; workers publish their counters now and then."""
        deadline = time.monotonic() + seconds
        while not (new := self.new_drops(before)) and time.monotonic() < deadline:
            time.sleep(0.002)
        return new

    def stats(self):
        (answer,) = self.gmespctl("stats")
        return answer["total"]

    def check_conservation(self):
        """Every frame that came in went out, became another, is held or was counted under one drop
        reason."""
        total = self.stats()
        received = total["access"]["rx_packets"] + total["host"]["rx_packets"]
        sent = total["access"]["tx_packets"] + total["host"]["tx_packets"]
        made = sum(total[key] for key in ("datagrams_joined", "fragments_made", "answers_made"))
        gone = sum(total[key] for key in ("fragments_joined", "fragments_held",
                                          "packets_fragmented"))
        report.check_equal(received + made, sent + total["dropped"] + gone,
                           "frames in, and out, held or dropped")
        self.check_gmespd()

    def sa_packets(self, direction, sa):
        (answer,) = self.gmespctl("sa", "show", "dir", direction, "spi", hex(sa.spi))
        return answer["packets"]

    def open_raw(self, namespace, interface):
        with inside(namespace):
            return self.enter_context(raw.RawPort(interface))

    def start_core_sockets(self):
        """Ordinary kernel sockets behind the host port, with the P-CSCF's addresses."""
        self._set_ipv6(self.core, "core0", disabled=False)
        for family, address in PCSCF.items():
            command("ip", "-n", self.core, "addr", "add", f"{address}/{PREFIX_BITS[family]}",
                    "dev", "core0", *(["nodad"] if family == 6 else []))
        return self._kernel_peer(guest.start_in_namespace(self.core))

    def boot_guest(self):
        return self._kernel_peer(guest.boot(self.engine, "acc0", UE_MAC, self.folder))

    def _kernel_peer(self, peer):
        self.callback(peer.stop)
        # Its MLD reports, up to seconds after an address came: no rule passes them.
        self._by_itself.add("policy_default")
        return peer
