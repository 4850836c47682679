# SPDX-License-Identifier: BSD-3-Clause
"""Part of tools/run: the capture of the wire, as tshark reads it."""

import os
import subprocess
import sys
import tempfile

PROTECTED_PORTS = "5062-5064"
PORT_UNPROTECTED = "5060"


def tshark(capture, display_filter, fields, options=(), config=None):
    """A row of `fields` for each packet that the filter takes; values of one field joined by |."""
    with tempfile.TemporaryDirectory() as empty:  # nobody's own settings may change the verdict
        command = ["tshark", "-n", "-r", capture, "-Y", display_filter, *options,
                   "-T", "fields", "-E", "aggregator=|"]
        for field in fields:
            command += ["-e", field]
        done = subprocess.run(command, capture_output=True, text=True,
                              env={**os.environ, "WIRESHARK_CONFIG_DIR": str(config or empty)})
    if done.returncode != 0:
        sys.exit(f"tshark cannot judge {capture}: {done.stderr.strip()}")
    return [dict(zip(fields, line.split("\t"))) for line in done.stdout.splitlines()]


def esp_packets(folder):
    """Fields of every ESP packet, decrypted with the keys that the P-CSCF wrote down."""
    options = []
    for preference in ("esp.enable_encryption_decode", "esp.enable_authentication_check",
                       "tcp.reassemble_out_of_order"):
        options += ["-o", f"{preference}:TRUE"]
    for transport in ("udp", "tcp"):
        options += ["-d", f"{transport}.port=={PROTECTED_PORTS},sip"]
    fields = ["esp.spi", "frame.len", "frame.time_epoch", "esp.icv_good", "sip.Call-ID", "sip.CSeq",
              "sip.Status-Code"]
    return tshark(folder / "wire.pcap", "esp", fields, options, folder / "wireshark")


def read_clear(folder):
    """(first REGISTERs, those of them that were challenged, packets in clear that should have been
    ESP).

    Judged by the IP protocol, not by readable bytes: NULL encryption is readable, and is ESP. ICMP
    and ND are no SIP unless they quote some. All else over IP that is not ESP counts as in clear.
    """
    beside_esp = '!esp && (((ip || ipv6) && !icmp && !icmpv6) || frame contains "SIP/2.0")'
    fields = ["udp.srcport", "udp.dstport", "sip.CSeq.method", "sip.Status-Code", "sip.Call-ID",
              "sip.CSeq"]
    registers, challenges, in_clear = set(), set(), 0
    for packet in tshark(folder / "wire.pcap", beside_esp, fields):
        ports = {packet["udp.srcport"], packet["udp.dstport"]}
        key = packet["sip.Call-ID"], packet["sip.CSeq"]
        if ports == {PORT_UNPROTECTED} and packet["sip.CSeq.method"] == "REGISTER":
            if packet["sip.Status-Code"] == "":
                registers.add(key)
            elif packet["sip.Status-Code"] == "401":
                challenges.add(key)
        else:
            in_clear += 1
    return len(registers), len(registers & challenges), in_clear


def capture_loss(folder):
    """Packets that the kernel could not hand to tcpdump: a proof needs 0."""
    for line in (folder / "tcpdump.log").read_text().splitlines():
        if line.endswith("dropped by kernel"):
            return int(line.split()[0])
    sys.exit("tcpdump ended without its count of lost packets")
