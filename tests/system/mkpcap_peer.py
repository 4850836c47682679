#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""gmespctl mkpcap against gmespd and tshark: with the commands written beside them, gmespd takes
every packet of the captures once and none twice, and Wireshark finds every ICV good and the
checksums of the UDP inside right. AES-GMAC is not among the algorithms that Wireshark knows."""

import itertools
import subprocess
import time

from scapy.utils import RawPcapReader

import lab
import report
import suites
import tshark_judge

UES = 8
PACKETS = 50
PACKET_BYTES = 201
BURST = 32  # frames between which the engine gets time: the veth holds few
PATIENCE_SECONDS = 5


def make(folder, suite, family):
    """The frames of the UEs and of the host, and the SA lines."""
    program = lab.BUILD / "tools" / "gmespctl"
    files = {name: folder / f"mkpcap-{name}" for name in ("sa", "esp", "plain")}
    words = ["mkpcap", "ues", str(UES), "packets", str(PACKETS), "bytes", str(PACKET_BYTES),
             "ip", str(family), "alg", suite.alg, "ealg", suite.ealg, "pcscf-port",
             str(lab.PORT_PS), "ue-mac", lab.UE_MAC, "pcscf-mac", lab.PCSCF_MAC]
    for name, file in files.items():
        words += [name, str(file)]
    subprocess.run([str(program), *words], check=True, stdout=subprocess.DEVNULL, timeout=60)
    return files


def sas_of(script, suite):
    """SPI -> Sa, from the commands."""
    found = {}
    for line in script.read_text().splitlines():
        words = line.split()[2:]
        values = dict(zip(words[::2], words[1::2]))
        keys = suites.Keys(*(bytes.fromhex(values.get(name, ""))
                             for name in ("auth-key", "enc-key", "salt")))
        spi = int(values["spi"])
        found[spi] = suites.Sa(spi, suite, keys, values["src"], values["dst"], values["proto"],
                               int(values["sport"]), int(values["dport"]))
    return found


def send_all(bed, port, capture, counter):
    """Sends every frame; how far the counter and the drops went up."""
    before, drops = bed.stats()[counter], bed.drops()
    frames = [bytes(frame) for frame, _ in RawPcapReader(str(capture))]
    report.check_equal(len(frames), PACKETS, "frames of the capture")
    deadline = time.monotonic() + PATIENCE_SECONDS
    for number, frame in enumerate(frames, 1):
        port.send(frame)
        while number % BURST == 0 or number == len(frames):
            passed, dropped = bed.stats()[counter] - before, bed.new_drops(drops)
            if passed + sum(dropped.values()) >= number or time.monotonic() > deadline:
                break
            time.sleep(0.002)
    return passed, dropped


def check_engine(bed, ends, files):
    inbound = send_all(bed, ends["ue"], files["esp"], "protected_in")
    report.check_equal(inbound, (PACKETS, {}), "passed and dropped of ESP from the UEs")
    again = send_all(bed, ends["ue"], files["esp"], "protected_in")
    report.check_equal(again, (0, {"replayed": PACKETS}), "passed and dropped of the same again")
    outbound = send_all(bed, ends["core"], files["plain"], "protected_out")
    report.check_equal(outbound, (PACKETS, {}), "passed and dropped of UDP to the UEs")


def check_tshark(folder, capture, sas):
    (folder / "mkpcap-keys").mkdir(exist_ok=True)
    (folder / "mkpcap-keys" / "esp_sa").write_text(
        "".join(tshark_judge.esp_sa_row(sa) for sa in sas.values()))
    words = lab.command(
        "env", f"WIRESHARK_CONFIG_DIR={folder / 'mkpcap-keys'}", "tshark", "-r", str(capture),
        "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE",
        "-o", "udp.check_checksum:TRUE", "-T", "fields", "-e", "esp.icv_good", "-e", "esp.spi",
        "-e", "udp.srcport", "-e", "udp.checksum.status")
    rows = [row.split("\t") for row in words.splitlines()]
    report.check_equal(len(rows), PACKETS, "frames that tshark shows")
    for good, spi, port, checksum in rows:
        sa = sas[int(spi, 0)]
        report.check_equal((good, port, checksum), ("1", str(sa.sport), "1"),
                           f"SPI {spi}: ICV good, UDP port, UDP checksum good")


def run_cases(results):
    with lab.Lab() as bed:
        ends = {"ue": bed.open_raw(bed.ue, "ue0"), "core": bed.open_raw(bed.core, "core0")}
        for suite, family in itertools.product(suites.SUITES, (4, 6)):
            with results.case(f"mkpcap: gmespd takes {suite.name} ipv{family} once"):
                files = make(bed.folder, suite, family)
                bed.gmespctl("-f", str(files["sa"]))
                check_engine(bed, ends, files)
            if suite.alg != "aes-gmac":
                with results.case(f"mkpcap: tshark decrypts {suite.name} ipv{family}"):
                    check_tshark(bed.folder, files["esp"], sas_of(files["sa"], suite))
            bed.gmespctl("sa", "flush", "all")
        with results.case("mkpcap: no frame unaccounted for"):
            bed.check_conservation()


if __name__ == "__main__":
    report.run(run_cases)
