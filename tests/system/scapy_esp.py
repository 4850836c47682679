# SPDX-License-Identifier: BSD-3-Clause
"""ESP in transport mode as scapy does it, for an Sa of suites.py; AES-GMAC, which scapy lacks,
after RFC 4543 over the GCM of python3-cryptography."""

import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation, split_for_transport

import report

SCAPY_AUTH = {"hmac-md5-96": "HMAC-MD5-96", "hmac-sha-1-96": "HMAC-SHA1-96", "null": "NULL"}
SCAPY_ENC = {"null": "NULL", "des-ede3-cbc": "3DES", "aes-cbc": "AES-CBC", "aes-gcm": "AES-GCM"}
ESP_PROTOCOL = 50
GMAC_IV_BYTES = 8
ICV_BYTES = {"hmac-md5-96": 12, "hmac-sha-1-96": 12, "aes-gmac": 16, "null": 16}  # null: aes-gcm
IV_BYTES = {"null": 0, "des-ede3-cbc": 8, "aes-cbc": 16, "aes-gcm": 8}
HEADER = struct.Struct(">II")  # SPI, sequence number


class ScapySa:
    """encrypt: plain packet -> ESP packet; decrypt: back, or an exception."""

    def __init__(self, sa):
        self._sa = SecurityAssociation(
            ESP, spi=sa.spi, crypt_algo=SCAPY_ENC[sa.suite.ealg],
            crypt_key=(sa.keys.enc + sa.keys.salt) or None,
            auth_algo=SCAPY_AUTH[sa.suite.alg], auth_key=sa.keys.auth or None)

    def encrypt(self, packet, sequence):
        return self._sa.encrypt(packet, seq_num=sequence)

    def decrypt(self, packet):
        return self._sa.decrypt(packet)


class GmacSa:
    """RFC 4543 section 3: the ICV is the GCM tag of nothing, over header, IV and payload."""

    def __init__(self, sa):
        self._sa = sa
        self._gcm = AESGCM(sa.keys.auth)

    def _icv(self, covered, iv):
        return self._gcm.encrypt(self._sa.keys.salt + iv, b"", covered)

    def encrypt(self, packet, sequence):
        header, next_header, payload = split_for_transport(packet, ESP_PROTOCOL)
        iv = os.urandom(GMAC_IV_BYTES)
        plain = bytes(payload)
        padding = -(len(plain) + 2) % 4
        covered = (HEADER.pack(self._sa.spi, sequence) + iv + plain +
                   bytes(range(1, padding + 1)) + bytes((padding, next_header)))
        return rebuild(header, covered + self._icv(covered, iv))

    def decrypt(self, packet):
        header, next_header, payload = split_for_transport(packet, ESP_PROTOCOL)
        covered, icv = bytes(payload)[:-16], bytes(payload)[-16:]
        report.check_equal(next_header, ESP_PROTOCOL, "protocol")
        report.check_equal(HEADER.unpack_from(covered)[0], self._sa.spi, "SPI")
        iv = covered[HEADER.size:HEADER.size + GMAC_IV_BYTES]
        try:
            self._gcm.decrypt(self._sa.keys.salt + iv, icv, covered)
        except InvalidTag as error:
            raise report.Failure("ICV of AES-GMAC is wrong") from error
        plain = covered[HEADER.size + GMAC_IV_BYTES:]
        return rebuild(header, plain[:-2 - plain[-2]], plain[-1])


def rebuild(header, payload, next_header=ESP_PROTOCOL):
    """The IP packet with another payload; `header` ends where split_for_transport cut it."""
    last = header.lastlayer()
    setattr(last, "proto" if isinstance(last, IP) else "nh", next_header)
    family = IPv6 if isinstance(header, IPv6) else IP
    return family(bytes(header / payload))


def esp_sa(sa):
    return GmacSa(sa) if sa.suite.alg == "aes-gmac" else ScapySa(sa)


def esp_bytes(sa, plain_bytes):
    """What RFC 4303 section 2.4 makes of a payload: padded to the block or to 4, not more."""
    block = {"des-ede3-cbc": 8, "aes-cbc": 16}.get(sa.suite.ealg, 4)
    padding = -(plain_bytes + 2) % block
    iv = GMAC_IV_BYTES if sa.suite.alg == "aes-gmac" else IV_BYTES[sa.suite.ealg]
    return HEADER.size + iv + plain_bytes + padding + 2 + ICV_BYTES[sa.suite.alg]
