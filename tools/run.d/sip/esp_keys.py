# SPDX-License-Identifier: BSD-3-Clause
"""What lets tshark judge the wire: Wireshark's esp_sa rows of a set, from CK and IK by the key
expansion of TS 33.203 Annex I; written here once more, so that gmespd's own is not its judge."""

import csv

AUTHENTICATION = {"hmac-md5-96": ("HMAC-MD5-96 [RFC2403]", lambda ik: ik),
                  "hmac-sha-1-96": ("HMAC-SHA-1-96 [RFC2404]", lambda ik: ik + bytes(4))}
ENCRYPTION = {"null": ("NULL", lambda ck: b""), "aes-cbc": ("AES-CBC [RFC3602]", lambda ck: ck),
              "des-ede3-cbc": ("TripleDES-CBC [RFC2451]", lambda ck: ck + ck[:8])}


def esp_sa_rows(one, answer):
    alg, ealg = one.suite
    algorithms = []
    for name, key in ((ENCRYPTION[ealg][0], ENCRYPTION[ealg][1](answer.ck)),
                      (AUTHENTICATION[alg][0], AUTHENTICATION[alg][1](answer.ik))):
        algorithms += [name, f"0x{key.hex()}" if key else ""]
    family = "IPv6" if ":" in one.ue else "IPv4"
    for spi in ("spi_ps", "spi_pc"):
        yield [family, one.ue, one.pcscf, f"0x{one.spis[spi]:08x}", *algorithms]
    for spi in ("spi_uc", "spi_us"):
        yield [family, one.pcscf, one.ue, f"0x{one.spis[spi]:08x}", *algorithms]


def write(keys, sets, one, answer):
    """Appends to both files. A row of `sets`: handle, IMPI, then the SPIs that arrive at the P-CSCF
    and those that arrive at the UE."""
    with open(keys, "a", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
            esp_sa_rows(one, answer))
    with open(sets, "a", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerow(
            [one.handle, one.impi, *(one.spis[name] for name in (
                "spi_ps", "spi_pc", "spi_uc", "spi_us"))])
