# SPDX-License-Identifier: BSD-3-Clause
"""IMS AKA at both ends: MILENAGE (TS 35.206), the authentication token (TS 33.102 6.3) and the
digest that carries it in SIP (RFC 3310, TS 33.203 6.1). AES is python3-cryptography's."""

import base64
import collections
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

RAND_BYTES = AUTN_BYTES = 16
SQN_BYTES = 6
AUTS_BYTES = 14
AMF = bytes.fromhex("8000")  # TS 33.102 annex H: the separation bit, as Usims expect it
AMF_RESYNCHRONISATION = bytes(2)  # TS 33.102 6.3.3


class AkaError(Exception):
    """The challenge is not one to answer with RES."""


class NetworkFailure(AkaError):
    """AUTN was not made by somebody who knows K (INT-63)."""


class SynchronisationFailure(AkaError):
    """The sequence number is not fresh; carries the token AUTS (INT-64)."""

    def __init__(self, auts):
        super().__init__("sequence number not fresh")
        self.auts = auts


def xor(one, other):
    return bytes(a ^ b for a, b in zip(one, other))


def rotate(block, bits):
    """Left, towards the most significant bit; MILENAGE needs whole bytes only."""
    return block[bits // 8:] + block[:bits // 8]


class Milenage:
    """f1 to f5*, TS 35.206 4.1, with its constants c1..c5 and r1..r5."""

    CONSTANTS = {2: (1, 0), 3: (2, 32), 4: (4, 64), 5: (8, 96)}  # number: last byte of c, r

    def __init__(self, k, opc):
        self._aes = Cipher(algorithms.AES(k), modes.ECB())
        self._opc = opc

    @classmethod
    def from_op(cls, k, op):
        return cls(k, xor(Cipher(algorithms.AES(k), modes.ECB()).encryptor().update(op), op))

    def _encrypt(self, block):
        return self._aes.encryptor().update(block)

    def _out1(self, rand, sqn, amf):
        temp = self._encrypt(xor(rand, self._opc))
        numbers = (sqn + amf) * 2
        return xor(self._encrypt(xor(temp, rotate(xor(numbers, self._opc), 64))), self._opc)

    def _out(self, number, rand):
        constant, bits = self.CONSTANTS[number]
        temp = self._encrypt(xor(rand, self._opc))
        mixed = xor(rotate(xor(temp, self._opc), bits), bytes(15) + bytes((constant,)))
        return xor(self._encrypt(mixed), self._opc)

    def f1(self, rand, sqn, amf):
        return self._out1(rand, sqn, amf)[:8]  # MAC-A

    def f1_star(self, rand, sqn, amf):
        return self._out1(rand, sqn, amf)[8:]  # MAC-S

    def f2(self, rand):
        return self._out(2, rand)[8:]  # RES

    def f3(self, rand):
        return self._out(3, rand)  # CK

    def f4(self, rand):
        return self._out(4, rand)  # IK

    def f5(self, rand):
        return self._out(2, rand)[:SQN_BYTES]  # AK

    def f5_star(self, rand):
        return self._out(5, rand)[:SQN_BYTES]  # AK of a resynchronisation


# What an end has after AKA: RES (XRES at the network) and the keys that the SAs come from.
Answer = collections.namedtuple("Answer", "res ck ik")


def answer(milenage, rand):
    return Answer(milenage.f2(rand), milenage.f3(rand), milenage.f4(rand))


class Network:
    """The home network's half for one subscriber: makes challenges, follows the sequence number."""

    def __init__(self, k, opc, sqn=0):
        self._milenage = Milenage(k, opc)
        self.sqn = sqn

    def challenge(self, rand=None, amf=AMF):
        """(nonce of the 401, XRES and keys): RAND || AUTN in base64 (RFC 3310 3.2)."""
        rand = rand or os.urandom(RAND_BYTES)
        self.sqn += 1
        sqn = self.sqn.to_bytes(SQN_BYTES, "big")
        autn = (xor(sqn, self._milenage.f5(rand)) + amf + self._milenage.f1(rand, sqn, amf))
        return base64.b64encode(rand + autn).decode(), answer(self._milenage, rand)

    def resynchronise(self, nonce, auts):
        """Takes over the UE's sequence number; False when AUTS is not the subscriber's."""
        rand = base64.b64decode(nonce)[:RAND_BYTES]
        if len(auts) != AUTS_BYTES:
            return False
        sqn = xor(auts[:SQN_BYTES], self._milenage.f5_star(rand))
        expected = self._milenage.f1_star(rand, sqn, AMF_RESYNCHRONISATION)
        if not hmac.compare_digest(auts[SQN_BYTES:], expected):
            return False
        self.sqn = int.from_bytes(sqn, "big")
        return True


class Usim:
    """The UE's half. Fresh is what is above the highest number seen (TS 33.102 annex C.2.2)."""

    def __init__(self, k, opc, sqn=0):
        self._milenage = Milenage(k, opc)
        self.sqn = sqn

    def answer(self, nonce):
        """RES, CK, IK; or NetworkFailure, SynchronisationFailure (TS 33.102 6.3.3)."""
        try:
            token = base64.b64decode(nonce, validate=True)
        except ValueError as error:
            raise NetworkFailure("the nonce is not base64") from error
        if len(token) != RAND_BYTES + AUTN_BYTES:
            raise NetworkFailure("the nonce is not RAND and AUTN")
        rand, autn = token[:RAND_BYTES], token[RAND_BYTES:]
        sqn = xor(autn[:SQN_BYTES], self._milenage.f5(rand))
        expected = self._milenage.f1(rand, sqn, autn[SQN_BYTES:8])
        if not hmac.compare_digest(autn[8:], expected):
            raise NetworkFailure("MAC in AUTN is wrong")
        number = int.from_bytes(sqn, "big")
        if number <= self.sqn:
            raise SynchronisationFailure(self._auts(rand))
        self.sqn = number
        return answer(self._milenage, rand)

    def answer_unchecked(self, nonce):
        """What an impostor does, whose K is not the network's: no token would pass its check."""
        return answer(self._milenage, base64.b64decode(nonce)[:RAND_BYTES])

    def _auts(self, rand):
        sqn = self.sqn.to_bytes(SQN_BYTES, "big")
        return (xor(sqn, self._milenage.f5_star(rand)) +
                self._milenage.f1_star(rand, sqn, AMF_RESYNCHRONISATION))


def digest(res, username, realm, nonce, method, uri, nc=None, cnonce=None, qop=None):
    """The response parameter: RFC 2617 3.2.2 with RES as the password, in bytes (RFC 3310 3.3)."""
    def md5(data):
        return hashlib.md5(data).hexdigest()

    secret = md5(f"{username}:{realm}:".encode() + res)
    what = md5(f"{method}:{uri}".encode())
    between = f"{nonce}:{nc}:{cnonce}:{qop}" if qop else nonce
    return md5(f"{secret}:{between}:{what}".encode())
