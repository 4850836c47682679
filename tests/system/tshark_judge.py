#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""tshark as the judge of what leaves towards the UE: with the keys, each packet's ICV is good and
the SIP inside is shown; without them nothing but ESP is. AES-GMAC is not among the algorithms that
Wireshark knows: the kernel and scapy judge that one."""

import csv
import io
import itertools

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

import lab
import report
import suites

WIRESHARK_AUTH = {"hmac-md5-96": "HMAC-MD5-96 [RFC2403]",
                  "hmac-sha-1-96": "HMAC-SHA-1-96 [RFC2404]", "null": "NULL"}
WIRESHARK_ENC = {"null": "NULL", "des-ede3-cbc": "TripleDES-CBC [RFC2451]",
                 "aes-cbc": "AES-CBC [RFC3602]", "aes-gcm": "AES-GCM with 16 octet ICV [RFC4106]"}
FIRST_SPI = 0x3000
UE_PORT = 21000
ARRIVAL_SECONDS = 2
FIELDS = ("esp.spi", "esp.icv_good", "esp.icv_bad", "sip.Method", "sip.Call-ID")

MESSAGE = ("MESSAGE sip:ue@example.org SIP/2.0\r\n"
           "Via: SIP/2.0/{transport} pcscf.example.org;branch=z9hG4bK{spi:x}\r\n"
           "Max-Forwards: 70\r\n"
           "From: <sip:pcscf@example.org>;tag=1\r\n"
           "To: <sip:ue@example.org>\r\n"
           "Call-ID: {spi:x}@pcscf.example.org\r\n"
           "CSeq: 1 MESSAGE\r\n"
           "Content-Type: text/plain\r\n"
           "Content-Length: 5\r\n\r\nhello")


def make_sas():
    known = [suite for suite in suites.SUITES if suite.alg != "aes-gmac"]
    for number, (suite, family, proto) in enumerate(
            itertools.product(known, (4, 6), ("udp", "tcp"))):
        spi = FIRST_SPI + number
        yield suites.Sa(spi, suite, suites.make_keys(suite, str(spi)), lab.PCSCF[family],
                        lab.UE[family], proto, lab.PORT_PC, UE_PORT + number)


def call_id(sa):
    return f"{sa.spi:x}@pcscf.example.org"


def sip_frame(sa):
    ip = (IPv6 if ":" in sa.src else IP)(src=sa.src, dst=sa.dst)
    transport = (UDP(sport=sa.sport, dport=sa.dport) if sa.proto == "udp" else
                 TCP(sport=sa.sport, dport=sa.dport, flags="PA", seq=1, ack=1))
    text = MESSAGE.format(transport=sa.proto.upper(), spi=sa.spi)
    return bytes(Ether(src=lab.PCSCF_MAC, dst=lab.UE_MAC) / ip / transport / text.encode())


def esp_sa_row(sa):
    """A row of Wireshark's esp_sa file."""
    def key(value):
        return f"0x{value.hex()}" if value else ""
    row = ("IPv6" if ":" in sa.src else "IPv4", sa.src, sa.dst, f"{sa.spi:#010x}",
           WIRESHARK_ENC[sa.suite.ealg], key(sa.keys.enc + sa.keys.salt),
           WIRESHARK_AUTH[sa.suite.alg], key(sa.keys.auth))
    return ",".join(f'"{word}"' for word in row) + "\n"


def judge(capture, folder, sas):
    """SPI -> what tshark shows of its packets, one dict per frame; `sas` are those it may know."""
    folder.mkdir(exist_ok=True)
    (folder / "esp_sa").write_text("".join(esp_sa_row(sa) for sa in sas))
    words = lab.command(
        "env", f"WIRESHARK_CONFIG_DIR={folder}", "tshark", "-r", str(capture), "-o",
        "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE",
        "-d", f"udp.port=={lab.PORT_PC},sip", "-d", f"tcp.port=={lab.PORT_PC},sip",
        "-T", "fields", "-E", "separator=,", "-E", "quote=d", *itertools.chain.from_iterable(
            ("-e", field) for field in FIELDS))
    shown = {}
    for row in csv.reader(io.StringIO(words)):
        frame = dict(zip(FIELDS, row))
        shown.setdefault(int(frame["esp.spi"], 0), []).append(frame)
    return shown


def capture_protected(bed, sas):
    """Plain SIP into the host port, one message per SA; the frames of the access port."""
    access, host = bed.open_raw(bed.ue, "ue0"), bed.open_raw(bed.core, "core0")
    access.drain()
    frames = []
    for sa in sas:
        host.send(sip_frame(sa))
        frame = access.receive(ARRIVAL_SECONDS)
        if frame is not None:
            frames.append(frame)
    return frames


def spoil(frame):
    """One bit of the ICV changed: the judge must be able to say no."""
    return frame[:-1] + bytes((frame[-1] ^ 1,))


def run_cases(results):
    sas = list(make_sas())
    with lab.Lab() as bed:
        bed.add_sas([("out", sa) for sa in sas])
        frames = capture_protected(bed, sas)
        good, bad = bed.folder / "good.pcap", bed.folder / "bad.pcap"
        wrpcap(str(good), [Ether(frame) for frame in frames])
        wrpcap(str(bad), [Ether(spoil(frame)) for frame in frames])
        shown = judge(good, bed.folder / "keys", sas)
        unkeyed = judge(good, bed.folder / "no-keys", [])
        spoiled = judge(bad, bed.folder / "keys", sas)
    for sa in sas:
        family = 6 if ":" in sa.src else 4
        with results.case(f"tshark: {sa.suite.name} ipv{family} {sa.proto}"):
            report.check(sa.spi in shown, "no packet with its SPI")
            (frame,) = shown[sa.spi]
            report.check_equal((frame["esp.icv_good"], frame["esp.icv_bad"]), ("1", "0"),
                               "ICV good, bad")
            report.check_equal((frame["sip.Method"], frame["sip.Call-ID"]),
                               ("MESSAGE", call_id(sa)), "SIP")
            report.check_equal(unkeyed[sa.spi][0]["sip.Method"], "", "SIP without the keys")
            report.check_equal(spoiled[sa.spi][0]["esp.icv_good"] == "1", False,
                               "ICV good with a bit changed")


if __name__ == "__main__":
    report.run(run_cases)
