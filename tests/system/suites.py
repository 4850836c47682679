# SPDX-License-Identifier: BSD-3-Clause
"""The ESP suites, each named once, with what every implementation under comparison calls it."""

import dataclasses
import hashlib

KEY_BYTES = {"hmac-md5-96": 16, "hmac-sha-1-96": 20, "aes-gmac": 16,
             "null": 0, "des-ede3-cbc": 24, "aes-cbc": 16, "aes-gcm": 16}
SALT_BYTES = 4  # RFC 4106 section 4

LINUX_AUTH = {"hmac-md5-96": "hmac(md5)", "hmac-sha-1-96": "hmac(sha1)"}
LINUX_ENC = {"null": "ecb(cipher_null)", "des-ede3-cbc": "cbc(des3_ede)", "aes-cbc": "cbc(aes)"}
LINUX_AEAD = {"aes-gcm": "rfc4106(gcm(aes))", "aes-gmac": "rfc4543(gcm(aes))"}


@dataclasses.dataclass(frozen=True)
class Suite:
    alg: str
    ealg: str

    @property
    def name(self):
        return f"{self.alg}+{self.ealg}"

    @property
    def aead(self):
        """The name of the combined algorithm, or None for a pair."""
        return next((a for a in (self.alg, self.ealg) if a in LINUX_AEAD), None)


SUITES = tuple(Suite(alg, ealg) for alg in ("hmac-md5-96", "hmac-sha-1-96")
               for ealg in ("null", "des-ede3-cbc", "aes-cbc")
               ) + (Suite("null", "aes-gcm"), Suite("aes-gmac", "null"))


@dataclasses.dataclass(frozen=True)
class Keys:
    auth: bytes
    enc: bytes
    salt: bytes


def make_keys(suite, label):
    """Keys that differ for every label: a packet under the wrong SA cannot pass by chance."""
    def part(purpose, length):
        return hashlib.sha256(f"{purpose} {suite.name} {label}".encode()).digest()[:length]
    return Keys(part("auth", KEY_BYTES[suite.alg]), part("enc", KEY_BYTES[suite.ealg]),
                part("salt", SALT_BYTES if suite.aead else 0))


@dataclasses.dataclass(frozen=True)
class Sa:
    """One unidirectional SA and the only packets it is for (RFC 4301 section 4.4.1.1)."""

    spi: int
    suite: Suite
    keys: Keys
    src: str
    dst: str
    proto: str
    sport: int
    dport: int

    def gmespctl(self, direction):
        """The words of `gmespctl sa add`; direction is the engine's: `in` arrives from the UE."""
        words = (f"sa add dir {direction} spi {self.spi:#x} src {self.src} dst {self.dst} "
                 f"proto {self.proto} sport {self.sport} dport {self.dport} "
                 f"alg {self.suite.alg} ealg {self.suite.ealg}")
        for key, value in (("auth-key", self.keys.auth), ("enc-key", self.keys.enc),
                           ("salt", self.keys.salt)):
            words += f" {key} {value.hex()}" if value else ""
        return words

    def _linux_algorithms(self):
        if self.suite.aead:
            key = self.keys.auth + self.keys.enc + self.keys.salt
            return f"aead {LINUX_AEAD[self.suite.aead]} 0x{key.hex()} 128"
        enc_key = f"0x{self.keys.enc.hex()}" if self.keys.enc else '""'
        return (f"auth-trunc {LINUX_AUTH[self.suite.alg]} 0x{self.keys.auth.hex()} 96 "
                f"enc {LINUX_ENC[self.suite.ealg]} {enc_key}")

    def ip_xfrm(self, direction):
        """The same SA and its policy for `ip -batch`; direction is the kernel's own."""
        ends = f"src {self.src} dst {self.dst}"
        return (f"xfrm state add {ends} proto esp spi {self.spi:#x} reqid {self.spi} "
                f"mode transport replay-window 64 {self._linux_algorithms()}\n"
                f"xfrm policy add {ends} proto {self.proto} sport {self.sport} "
                f"dport {self.dport} dir {direction} "
                f"tmpl {ends} proto esp reqid {self.spi} mode transport\n")
