# SPDX-License-Identifier: BSD-3-Clause
"""The test bed of registrations: both ends of Gm, each a gmespd, and the SIP programs of tools/run.

  namespace NAME-ue     NAME-ue-esp                   NAME-pcscf-esp            NAME-pcscf
 +--------------+   +-------------------+         +----------------------+   +---------------+
 | UEs: kernel  |   | gmespd, role ue   |   ESP   | gmespd, role pcscf   |   | P-CSCF: kernel|
 | UDP and TCP  |===| [host]  [access]  |=========| [access]      [host] |===| UDP and TCP   |
 +--------------+   +-------------------+         +----------------------+   +---------------+

ue.py and pcscf.py run in this process; their sockets are opened inside of the namespaces.
"""

import asyncio
import contextlib
import ipaddress
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import lab
import report

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS / "run.d" / "sip"))
import pcscf as pcscf_program  # noqa: E402
import ue as ue_program  # noqa: E402
from engine import Refused  # noqa: E402

ENDS = ("ue", "pcscf")
DOMAIN = "ims.example"
PCSCF = {4: "192.0.2.1", 6: "2001:db8::1"}
UE_ROUTER = {4: "192.0.2.11", 6: "2001:db8::11"}
UES = {4: "198.18.0.0/15", 6: "2001:db8:1::/64"}
AWAIT_AUTH_S, T1_MS = 3, 100  # so that a temporary set lives 3 s and an old one 6.4 s
OLD_S = 64 * T1_MS / 1000
UE_T1_S = 0.5
SLACK_S = 0.5  # the engine's tick, and the machine's other work
PATIENCE_S = AWAIT_AUTH_S / 2  # of a UE whose message is lost: its temporary set still stands then

CONFIGURATION = """role = "{role}"
[control]
socket = "{socket}"
[workers]
cpus = [{cpu}]
[access]
device = "net_af_packet0,iface=access"
[host]
device = "net_af_packet1,iface=host"
[ims]
await_auth_s = {await_auth_s}
t1_ms = {t1_ms}
combinations = {combinations}
[policy]
protected_ports = ["5062-5064"]
[[policy.rule]]
name = "arp"
match = "arp"
[[policy.rule]]
name = "neighbour-discovery"
match = "nd"
[[policy.rule]]
name = "unprotected-sip"
match = "udp"
{side}_ports = [5060]
"""
# The P-CSCF does not take every pair that a UE may offer.
COMBINATIONS = {"ue": '["hmac-sha-1-96/aes-cbc", "hmac-md5-96/null", "hmac-sha-1-96/null"]',
                "pcscf": '["hmac-sha-1-96/aes-cbc", "hmac-md5-96/null"]'}


class TwoEnds(contextlib.ExitStack):
    def __init__(self):
        super().__init__()
        self._name = f"regs-{os.getpid()}"
        self._free = {family: ipaddress.ip_network(net).hosts() for family, net in UES.items()}
        self._numbers = itertools.count()
        self._gmespd = {}
        self.subscribers = []

    def __enter__(self):
        super().__enter__()
        try:
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gmesp-regs-"))
            self.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._make_network()
            for end in ENDS:
                self._start_gmespd(end)
        except BaseException:
            self.close()
            raise
        return self

    def namespace(self, end):
        return f"{self._name}-{end}"

    # -- the network

    def _make_network(self):
        for end in ENDS:
            for space in (self.namespace(end), self.namespace(f"{end}-esp")):
                lab.command("ip", "netns", "add", space)
                self.callback(lab.command, "ip", "netns", "del", space)
                lab.command("ip", "-n", space, "link", "set", "lo", "up")
            with lab.inside(self.namespace(f"{end}-esp")):  # DPDK's: the kernel must keep quiet
                pathlib.Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
            with lab.inside(self.namespace(end)):  # its link-local address serves at once
                pathlib.Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
            self._make_veth(self.namespace(end), "gm0", self.namespace(f"{end}-esp"), "host")
        self._make_veth(self.namespace("ue-esp"), "access", self.namespace("pcscf-esp"), "access")
        with lab.inside(self.namespace("ue")):  # all of UES are its own: IPv6 needs to be told
            pathlib.Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")
        self._address("ue", UE_ROUTER)
        self._address("pcscf", PCSCF)
        for family, net in UES.items():
            lab.command("ip", "-n", self.namespace("ue"), "route", "add", "local", net, "dev", "lo")
            lab.command("ip", "-n", self.namespace("pcscf"), "route", "add", net,
                        "via", UE_ROUTER[family])

    @staticmethod
    def _make_veth(one, name, other, other_name):
        lab.command("ip", "link", "add", name, "netns", one, "type", "veth",
                    "peer", "name", other_name, "netns", other)
        for space, interface in ((one, name), (other, other_name)):
            lab.command("ip", "netns", "exec", space, "ethtool", "-K", interface, "tx", "off",
                        "tso", "off", "gso", "off", "gro", "off", "rx", "off")
            lab.command("ip", "-n", space, "link", "set", interface, "promisc", "on", "up")

    def _address(self, end, addresses):
        for family, address in addresses.items():
            lab.command("ip", "-n", self.namespace(end), "addr", "add",
                        f"{address}/{lab.PREFIX_BITS[family]}", "dev", "gm0",
                        *(["nodad"] if family == 6 else []))

    # -- the engines

    def _start_gmespd(self, end):
        program = lab.BUILD / "tools" / "gmespd"
        if not program.exists():
            raise lab.LabError(f"{program} is missing: build first, or set BUILD")
        cpus = sorted(os.sched_getaffinity(0))
        configuration = self.folder / f"{end}.toml"
        configuration.write_text(CONFIGURATION.format(
            role=end, socket=self.folder / f"{end}.sock", cpu=cpus[0] if end == "ue" else cpus[-1],
            await_auth_s=AWAIT_AUTH_S, t1_ms=T1_MS, combinations=COMBINATIONS[end],
            side="remote" if end == "ue" else "local"))
        log = self.enter_context((self.folder / f"{end}.log").open("w+"))
        process = self._gmespd[end] = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace(f"{end}-esp"), str(program), "-c",
             str(configuration)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.callback(self._stop, process)
        deadline = time.monotonic() + 20
        while self._gmespctl(end, "status").returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                words = (self.folder / f"{end}.log").read_text(errors="replace")[-1000:]
                raise lab.LabError(f"gmespd of the {end} end does not answer: {words}")
            time.sleep(0.05)

    @staticmethod
    def _stop(process):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _gmespctl(self, end, *words):
        return subprocess.run([str(lab.BUILD / "tools" / "gmespctl"), "-s",
                               str(self.folder / f"{end}.sock"), "-j", *words],
                              capture_output=True, text=True, check=False, timeout=30)

    def check_gmespd(self):
        for end, process in self._gmespd.items():
            if process.poll() is not None:
                raise lab.LabError(f"gmespd of the {end} end ended: {process.returncode}")

    def drops(self, end):
        rows = json.loads(self._gmespctl(end, "drops").stdout)["drops"]
        return {row["reason"]: row["count"] for row in rows}

    # -- the SIP programs

    async def start_programs(self):
        self.pcscf = pcscf_program.Pcscf(
            {"engine": str(self.folder / "pcscf.sock"), "addresses": list(PCSCF.values()),
             "subscribers": []}, lambda: lab.inside(self.namespace("pcscf")))
        self.unchallenged = set()  # IMPIs whose protected REGISTERs are not challenged again
        self.pcscf.scscf.challenges = lambda impi: impi not in self.unchallenged
        await self.pcscf.start()
        self.ue = ue_program.Ue(
            {"engine": str(self.folder / "ue.sock"), "t1": UE_T1_S, "phones": []},
            lambda: lab.inside(self.namespace("ue")))
        await self.ue.start()

    async def phone(self, family, transport, **more):
        """A new UE that the home network knows; `more` may tell the two different things."""
        name = f"ue{next(self._numbers)}"
        row = {"name": name, "impi": f"{name}@{DOMAIN}", "impu": f"sip:{name}@{DOMAIN}",
               "k": os.urandom(16).hex(), "opc": os.urandom(16).hex(),
               "address": str(next(self._free[family])), "pcscf": PCSCF[family],
               "transport": transport, "patience": PATIENCE_S}
        self.pcscf.scscf.add(row)
        return await self.ue.add({**row, **more})

    async def sets(self, end, phone):
        """What gmespd of that end has of the UE: full rows of `ue show`, oldest first."""
        engine = self.ue.engine if end == "ue" else self.pcscf.engine
        shown = []
        for row in (await engine.call("ue list", impi=phone.impi))["sets"]:
            with contextlib.suppress(Refused):  # gone since
                shown.append(await engine.call("ue show", handle=row["handle"]))
        return sorted(shown, key=lambda row: -row["age_ms"])

    async def states(self, end, phone):
        return [row["state"] for row in await self.sets(end, phone)]

    async def wait_for_states(self, end, phone, expected, seconds):
        """Until gmespd of that end has exactly these; what it has in the end."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (states := await self.states(end, phone)) != expected:
            if asyncio.get_running_loop().time() > deadline:
                return states
            await asyncio.sleep(0.02)
        return states


def registers(phone):
    """What became of each REGISTER, in order: (over which set, status)."""
    return [(entry[2], entry[1]) for entry in phone.log]


async def registered(bed, family, transport, **more):
    phone = await bed.phone(family, transport, **more)
    outcome = await phone.register()
    report.check_equal(outcome.status, 200, "status of the registration")
    return phone


async def refresh_over_the_current_set(bed, phone):
    bed.unchallenged.add(phone.impi)
    outcome = await phone.register()
    bed.unchallenged.remove(phone.impi)
    report.check_equal(outcome.status, 200, "status of the refresh")
    return outcome
