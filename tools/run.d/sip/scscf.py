# SPDX-License-Identifier: BSD-3-Clause
"""The home network behind the P-CSCF: S-CSCF and HSS in one (TS 33.203 6.1). Judges REGISTERs."""

import base64
import binascii
import collections
import hmac

import aka

# What becomes of a REGISTER. Rejected.why: the reason word of `ue fail`.
Challenged = collections.namedtuple("Challenged", "nonce answer")
Accepted = collections.namedtuple("Accepted", "expires")
Rejected = collections.namedtuple("Rejected", "status reason why")

FORBIDDEN = "Forbidden"


class Subscriber:
    def __init__(self, row):
        self.impus = [row["impu"]]
        self.network = aka.Network(bytes.fromhex(row["k"]), bytes.fromhex(row["opc"]),
                                   row.get("network_sqn", 0))
        self.pending = None  # (nonce, answer) of the challenge that is out


class Scscf:
    """challenges(impi): whether a REGISTER that came through an SA is challenged again (INT-70
    leaves that to the S-CSCF); one in clear always is (INT-71)."""

    def __init__(self, rows, challenges=lambda impi: True):
        self._subscribers = {}
        self.challenges = challenges
        for row in rows:
            self.add(row)

    def add(self, row):
        self._subscribers[row["impi"]] = Subscriber(row)

    def impus(self, impi):
        subscriber = self._subscribers.get(impi)
        return subscriber.impus if subscriber else []

    def register(self, impi, credentials, expires, integrity_protected):
        """credentials: the parameters of Authorization; integrity_protected: INT-58."""
        subscriber = self._subscribers.get(impi)
        if subscriber is None:
            return Rejected(403, FORBIDDEN, "other")
        nonce = credentials.get("nonce")
        if subscriber.pending and nonce == subscriber.pending[0]:
            return self._judge(subscriber, impi, credentials, expires, integrity_protected)
        if integrity_protected and not self.challenges(impi):
            return Accepted(expires)
        return self._challenge(subscriber)

    @staticmethod
    def _challenge(subscriber):
        subscriber.pending = subscriber.network.challenge()
        return Challenged(*subscriber.pending)

    def _judge(self, subscriber, impi, credentials, expires, integrity_protected):
        nonce, answer = subscriber.pending
        subscriber.pending = None
        if "auts" in credentials:
            return self._resynchronise(subscriber, nonce, credentials["auts"])
        if not credentials.get("response"):
            return Rejected(403, FORBIDDEN, "network_authentication")  # INT-63
        expected = aka.digest(answer.res, impi, credentials.get("realm"), nonce, "REGISTER",
                              credentials.get("uri"), credentials.get("nc"),
                              credentials.get("cnonce"), credentials.get("qop"))
        right = hmac.compare_digest(expected.encode(), credentials["response"].encode())
        if not right or not integrity_protected:
            return Rejected(403, FORBIDDEN, "user_authentication")  # INT-62
        return Accepted(expires)

    def _resynchronise(self, subscriber, nonce, auts):
        try:
            token = base64.b64decode(auts, validate=True)
        except binascii.Error:
            token = b""
        if not subscriber.network.resynchronise(nonce, token):
            return Rejected(403, FORBIDDEN, "synchronisation")
        return self._challenge(subscriber)
