# SPDX-License-Identifier: BSD-3-Clause
"""A P-CSCF's half of registration: SM1 to SM12 (TS 33.203 6.1 and 7.2, TS 24.229 5.2.2) over the
calls of gmespd, role pcscf. gmespd makes, keeps and ends the SAs; this follows the handles."""

import sys

import sip
from engine import Refused
from scscf import Challenged, Rejected

DEFAULT_EXPIRES = "600000"
# What is said to the UE when gmespd refuses: 494 is RFC 3329 2.3.1 and INT-65, INT-67.
REFUSALS = {"bad_security_header": (400, "Bad Request"),
            "unacceptable_proposal": (494, "Security Agreement Required"),
            "spi_clash": (494, "Security Agreement Required"),
            "port_clash": (494, "Security Agreement Required"),
            "verify_mismatch": (494, "Security Agreement Required"),
            "client_mismatch": (494, "Security Agreement Required")}
ENDS_THE_SET = ("verify_mismatch", "client_mismatch")  # of `ue response` (INT-67)


class UeSet:
    """One set: its numbers as the Security-* headers said them, which are those on the wire."""

    def __init__(self, handle, over, ue, pcscf, impi, client, server):
        self.handle, self.over, self.ue, self.pcscf, self.impi = handle, over, ue, pcscf, impi
        theirs, ours = sip.ipsec_mechanisms(client)[0], sip.ipsec_mechanisms(server)[0]
        self.port_uc, self.port_us = int(theirs["port-c"]), int(theirs["port-s"])
        self.port_pc, self.port_ps = int(ours["port-c"]), int(ours["port-s"])
        self.spis = {"spi_uc": int(theirs["spi-c"]), "spi_us": int(theirs["spi-s"]),
                     "spi_pc": int(ours["spi-c"]), "spi_ps": int(ours["spi-s"])}
        self.suite = ours["alg"], ours.get("ealg", "null")
        self.server = server
        self.established = False
        self.connection = None  # pc -> us, a future


def username(request):
    """IMPI, and the parameters of Authorization (TS 24.229 5.2.2: username, else from the IMPU)."""
    value = request.get("Authorization")
    credentials = sip.digest_parameters(value) if value else {}
    impu = sip.Uri(request.get("To") or "").identity()
    return credentials.get("username") or impu.partition(":")[2], credentials


def expires_of(request):
    contact = request.get("Contact") or ""
    _, found, rest = contact.rpartition(";expires=")
    value = rest.partition(";")[0] if found else request.get("Expires", DEFAULT_EXPIRES)
    return int(value) if value.isdigit() else int(DEFAULT_EXPIRES)


def refuses_the_network(credentials):
    """INT-63: an empty response to a challenge, and no AUTS (TS 24.229 5.1.1.5.3)."""
    return bool(credentials.get("nonce")) and not credentials.get("response") \
        and "auts" not in credentials


class Registrations:
    """reply(request, response, flow, set or None): sends a response over that set, or in clear.
    on_keys(set, answer): a set has keys now."""

    def __init__(self, engine, scscf, reply, on_keys):
        self._engine, self._scscf, self._reply, self._on_keys = engine, scscf, reply, on_keys
        self.sets = {}  # handle: UeSet
        self.in_use = {}  # impi: UeSet that traffic to the UE takes
        self.contacts = {}  # (UE address, port_us): impi

    async def on_register(self, request, flow, came_over):
        """came_over: the UeSet whose SA brought it; None: it came in clear."""
        try:
            if came_over and not came_over.established:
                await self._sm7(request, flow, came_over)
            else:
                await self._sm1(request, flow, came_over)
        except Refused as refused:
            if refused.code in ENDS_THE_SET and came_over and not came_over.established:
                self.set_is_gone(came_over.handle)
            status, reason = REFUSALS.get(refused.code, (403, "Forbidden"))
            print(f"{request!r}: {refused}", file=sys.stderr, flush=True)
            answer = request.response(status, reason).add("Warning", f'399 gmesp "{refused}"')
            self._reply(request, answer, flow, self._still(came_over))

    def _still(self, one):
        """Where an answer may go: the set, else the one before it, else in clear (INT-75)."""
        while one and one.handle not in self.sets:
            one = one.over
        return one

    async def _sm1(self, request, flow, over):
        impi, credentials = username(request)
        fresh = None
        if request.get("Security-Client") and not refuses_the_network(credentials):
            fresh = await self._offer(request, flow, over, impi)
        verdict = self._scscf.register(impi, credentials, expires_of(request), over is not None)
        if fresh and isinstance(verdict, Challenged):
            return await self._sm6(request, flow, over, fresh, verdict)
        if fresh:
            await self._engine.call("ue fail", handle=fresh.handle, reason="other")
        if isinstance(verdict, Challenged):  # nothing to protect the answer with: RFC 3329 2.3.1
            return self._reply(request, request.response(421, "Extension Required").add(
                "Require", "sec-agree"), flow, over)
        if isinstance(verdict, Rejected):
            await self._end_temporary(impi, verdict.why)
            return self._reply(request, request.response(verdict.status, verdict.reason), flow,
                               self._still(over))
        if verdict.expires:  # PUB-06
            await self._engine.call("ue refresh", handle=over.handle, expires=verdict.expires)
        else:  # PUB-07: the 200 OK still goes out through the set
            await self._engine.call("ue delete", handle=over.handle)
        self._reply(request, self._registered(request, verdict.expires), flow, over)

    async def _offer(self, request, flow, over, impi):
        """SM1: ports, SPIs and algorithms agreed, or refused (INT-50 to 52)."""
        ue, pcscf, client = flow.remote[0], flow.local[0], ", ".join(
            request.get_all("Security-Client"))
        verify = ", ".join(request.get_all("Security-Verify")) if over else None
        offer = await self._engine.call(
            "ue register", ue=ue, pcscf=pcscf, impi=impi, impu=self._scscf.impus(impi) or None,
            over=over and over.handle, contact=sip.Uri(request.get("Contact") or "").host,
            security_client=client, security_verify=verify or None)
        return UeSet(offer["handle"], over, ue, pcscf, impi, client, offer["security-server"])

    async def _sm6(self, request, flow, over, fresh, verdict):
        """The SAs are usable before the 401 leaves (INT-53); CK and IK never do (SPEC 7.4)."""
        await self._engine.call("ue challenge", handle=fresh.handle, ck=verdict.answer.ck.hex(),
                                ik=verdict.answer.ik.hex())
        self.sets[fresh.handle] = fresh
        self._on_keys(fresh, verdict.answer)
        challenge = {"realm": sip.Uri(request.uri).host, "nonce": verdict.nonce,
                     "algorithm": "AKAv1-MD5", "qop": "auth"}
        response = request.response(401, "Unauthorized")
        response.add("WWW-Authenticate", sip.digest_header(challenge, is_challenge=True))
        self._reply(request, response.add("Security-Server", fresh.server), flow, over)

    async def _sm7(self, request, flow, fresh):
        """The first REGISTER through the new SAs: is it what was agreed, and whom we mean?"""
        await self._engine.call("ue response", handle=fresh.handle,
                                security_verify=", ".join(request.get_all("Security-Verify")),
                                security_client=", ".join(request.get_all("Security-Client")))
        impi, credentials = username(request)
        verdict = self._scscf.register(impi, credentials, expires_of(request), True)
        if isinstance(verdict, Challenged):  # another nonce than that of the 401
            verdict = Rejected(403, "Forbidden", "user_authentication")
        if isinstance(verdict, Rejected):
            await self._engine.call("ue fail", handle=fresh.handle, reason=verdict.why)
            if fresh.over:  # INT-75: gone at once; the only set of a UE carries the answer (PUB-08)
                self.set_is_gone(fresh.handle)
            return self._reply(request, request.response(verdict.status, verdict.reason), flow,
                               fresh.over or fresh)
        await self._engine.call("ue ok", handle=fresh.handle, expires=verdict.expires)
        fresh.established = True
        self.contacts[fresh.ue, fresh.port_us] = impi
        if fresh.over is None or impi not in self.in_use:
            self.in_use[impi] = fresh
        self._reply(request, self._registered(request, verdict.expires), flow, fresh)

    @staticmethod
    def _registered(request, expires):
        return request.response(200, "OK").add("Contact", request.get("Contact")).add(
            "Expires", str(expires))

    async def _end_temporary(self, impi, why):
        """INT-62 to INT-64: what was challenged will not be answered."""
        for one in list(self.sets.values()):
            if one.impi == impi and not one.established:
                try:
                    await self._engine.call("ue fail", handle=one.handle, reason=why)
                except Refused as refused:
                    if refused.code not in ("unknown_handle", "wrong_state"):
                        raise

    def by_port(self, ue, port):
        """The latest set whose UE has this port; the engine has let nothing else through."""
        return next((one for one in reversed(self.sets.values())
                     if one.ue == ue and port in (one.port_uc, one.port_us)), None)

    def packet_came_over(self, one):
        """PUB-04: the UE has taken its new set into use, so traffic to it does too."""
        if one.established:
            earlier = self.in_use.get(one.impi)
            if earlier is None or earlier is one.over or earlier.handle not in self.sets:
                self.in_use[one.impi] = one

    def set_is_gone(self, handle):
        """gmespd says so. The one that is left, if any, is in use from here on (PUB-05)."""
        gone = self.sets.pop(handle, None)
        if gone is None:
            return None
        if self.in_use.get(gone.impi) is gone:
            left = [one for one in self.sets.values() if one.impi == gone.impi and one.established]
            if left:
                self.in_use[gone.impi] = left[-1]
            else:
                del self.in_use[gone.impi]
        return gone
