# SPDX-License-Identifier: BSD-3-Clause
"""One UE: registers with IMS AKA (TS 33.203 6.1, TS 24.229 5.1.1) and speaks through the SAs that
come of it, from port_uc to port_ps and on port_us from port_pc (TS 33.203 7.1). The SAs are
gmespd's, role ue, through `ue register`, `ue challenge`, `ue ok` and so on."""

import asyncio
import base64
import collections
import secrets
import sys

import aka
import sip
from engine import Refused

PORT_CLEAR = 5060
EXPIRES_S = 600000  # TS 24.229 5.1.1.2.1
T2_IN_T1 = 8  # T1 = 2 s, T2 = 16 s (TS 24.229 table 7.7.1)
TIMER_F_IN_T1 = 64

# How a registration ended: the last response (0: none came), and the set that stands now.
Outcome = collections.namedtuple("Outcome", "status reason handle")


class Protection:
    """The UE's sockets of one set, and what its headers said."""

    def __init__(self, phone, offer):
        self._phone, self.handle = phone, offer["handle"]
        kept = [row for row in sip.ipsec_mechanisms(offer["security-client"])
                if phone.suite is None or phone.suite == (row["alg"], row.get("ealg", "null"))]
        self.client = ", ".join(row["text"] for row in kept)
        self.port_uc, self.port_us = int(kept[0]["port-c"]), int(kept[0]["port-s"])
        self.verify = self.port_ps = self._out = None

    async def open(self, server, verify):
        """The 401 has come: both sockets, before SM7 leaves."""
        self.verify, self.port_ps = verify, int(sip.ipsec_mechanisms(server)[0]["port-s"])
        await self._phone.open_server(self.port_us)
        if self._phone.transport == "udp":
            self._out = await self._phone.sockets.datagrams((self._phone.address, self.port_uc))

    async def send(self, message):
        """From port_uc to port_ps; over TCP on one connection, opened when there is none."""
        remote = (self._phone.pcscf, self.port_ps)
        if self._phone.transport == "udp":
            return self._out.send(message, remote)
        if self._out is None:
            self._out = asyncio.ensure_future(
                self._phone.sockets.connect((self._phone.address, self.port_uc), remote))
        (await asyncio.shield(self._out)).send(message)

    def close(self):
        if isinstance(self._out, asyncio.Future):
            if not self._out.done():
                self._out.cancel()
            elif not self._out.cancelled() and not self._out.exception():
                self._out.result().reset()
        elif self._out is not None:
            self._out.close()
        self._out = None


class Phone:
    """row: impi, impu, k, opc, address, pcscf, transport; optionally suite (alg, ealg: the only one
    it has), sqn and fault: "impostor" does not know K, "wrong-res" answers with another RES."""

    def __init__(self, row, engine, sockets, t1=2.0):
        self.impi, self.impu, self.pcscf = row["impi"], row["impu"], row["pcscf"]
        self.address, self.transport = row["address"], row["transport"]
        self.suite = tuple(row["suite"]) if row.get("suite") else None
        self.fault = row.get("fault")
        self.engine, self.sockets, self.t1 = engine, sockets, t1
        self.patience = TIMER_F_IN_T1 * t1  # timer F; a test may have less
        self.usim = aka.Usim(bytes.fromhex(row["k"]), bytes.fromhex(row["opc"]), row.get("sqn", 0))
        self.current = None
        self.loses = lambda message: False  # a test's: neither sent nor received
        self.log = []  # (sent or received, first words of the message, how protected)
        self._sets, self._servers, self._waiting = {}, {}, {}
        self._call_id, self._cseq = secrets.token_hex(8), 0
        self._nonce, self._answer, self._nonce_count = "", None, 0

    @property
    def domain(self):
        return sip.Uri(self.impu).host

    async def start(self):
        self._clear = await self.sockets.datagrams((self.address, PORT_CLEAR))

    async def open_server(self, port):
        """port_us: sets of one registration share it."""
        if port not in self._servers:
            bind = self.sockets.datagrams if self.transport == "udp" else self.sockets.listen
            self._servers[port] = await bind((self.address, port))

    def set_is_old(self, handle):
        """What was under way is over (PUB-11); connections end while there are SAs to say it."""
        if self.has(handle):
            self._sets[handle].close()

    def has(self, handle):
        return handle in self._sets

    def set_is_gone(self, handle):
        """gmespd says so: nothing may leave its ports in clear."""
        gone = self._sets.pop(handle, None)
        if gone:
            gone.close()
            if gone.port_us not in (one.port_us for one in self._sets.values()):
                server = self._servers.pop(gone.port_us, None)
                if server:
                    server.close()
        if self.current is gone:
            self.current = None

    # -- registration

    async def register(self, expires=EXPIRES_S, in_clear=False):
        """Initial, again, or with expires 0 the end of it; answers the challenge if one comes."""
        over = None if in_clear else self.current
        resynchronisation = None
        for _ in range(2):
            fresh = Protection(self, await self.engine.call(
                "ue register", ue=self.address, pcscf=self.pcscf, impi=self.impi, impu=[self.impu],
                over=over and over.handle))
            response = await self._exchange(
                self._sm1(fresh, over, expires, resynchronisation), over)
            if response is None or response.status != 401:
                return await self._unchallenged(response, fresh, over, expires)
            challenge = sip.digest_parameters(response.get("WWW-Authenticate") or "")
            try:
                answer = self._answer_to(challenge)
            except aka.NetworkFailure:
                return await self._refuse_network(fresh, over, challenge, expires)
            except aka.SynchronisationFailure as failure:
                await self._fail(fresh, "synchronisation")
                resynchronisation = challenge, failure.auts
                continue
            return await self._respond(response, fresh, over, challenge, answer, expires)
        return Outcome(response.status, "synchronisation failed again", None)

    def _answer_to(self, challenge):
        if self.fault == "impostor":
            return self.usim.answer_unchecked(challenge["nonce"])
        answer = self.usim.answer(challenge["nonce"])
        return answer._replace(res=bytes(8)) if self.fault == "wrong-res" else answer

    async def _unchallenged(self, response, fresh, over, expires):
        """No 401: a refusal, or a refresh or deregistration that AKA was left out of (PUB-06)."""
        await self._fail(fresh, "timeout" if response is None else "other")
        if response is None:
            return Outcome(0, "no answer", over and over.handle)
        if response.status == 200 and over:
            if expires == 0:
                await self.engine.call("ue delete", handle=over.handle)
                self.current = None
            else:
                await self.engine.call("ue refresh", handle=over.handle, expires=expires)
        return Outcome(response.status, response.reason, over and over.handle)

    async def _respond(self, response, fresh, over, challenge, answer, expires):
        """SM7: the SAs first, then the answer through them (INT-55, INT-56)."""
        server = ", ".join(response.get_all("Security-Server"))
        try:
            ready = await self.engine.call("ue challenge", handle=fresh.handle, ck=answer.ck.hex(),
                                     ik=answer.ik.hex(), security_server=server)
        except Refused as refused:  # INT-66: it ends here
            return Outcome(response.status, str(refused), over and over.handle)
        await fresh.open(server, ready["security-verify"])
        self._sets[fresh.handle] = fresh
        self._nonce, self._answer, self._nonce_count = challenge, answer, 0
        final = await self._exchange(self._sm7(fresh, expires), fresh)
        if final is None or final.status != 200:  # PUB-08, INT-75, INT-76
            fresh.close()  # while there are SAs to say it through
            await self._fail(fresh, "timeout" if final is None else "user_authentication")
            return Outcome(final.status if final else 0, final.reason if final else "no answer",
                           over and over.handle)
        await self.engine.call("ue ok", handle=fresh.handle, expires=expires)
        self.current = fresh if expires else None
        return Outcome(200, final.reason, fresh.handle)

    async def _refuse_network(self, fresh, over, challenge, expires):
        """INT-63: another REGISTER that says so, with an empty response (TS 24.229 5.1.1.5.3)."""
        await self._fail(fresh, "network_authentication")
        message = self._register(over, expires, PORT_CLEAR if over is None else over.port_us)
        message.add("Authorization", sip.digest_header(
            {**self._who(), "nonce": challenge["nonce"], "response": ""}))
        response = await self._exchange(message, over)
        return Outcome(response.status if response else 0, "network authentication failed",
                       over and over.handle)

    async def _fail(self, fresh, reason):
        try:
            await self.engine.call("ue fail", handle=fresh.handle, reason=reason)
        except Refused as refused:
            if refused.code != "unknown_handle":  # its time may have run out meanwhile (INT-76)
                raise

    # -- messages

    def _who(self):
        return {"username": self.impi, "realm": self.domain, "uri": f"sip:{self.domain}"}

    def contact(self, port):
        user = sip.Uri(self.impu).user
        return f"<sip:{user}@{sip.bracketed(self.address)}:{port};transport={self.transport}>"

    def _register(self, over, expires, port):
        self._cseq += 1
        via = sip.Via(self.transport if over else "udp", self.address, port,
                      {"branch": sip.new_branch()})
        message = sip.Message("REGISTER", f"sip:{self.domain}")
        for name, value in (
                ("Via", str(via)), ("Max-Forwards", "70"),
                ("From", f"<{self.impu}>;tag={secrets.token_hex(4)}"), ("To", f"<{self.impu}>"),
                ("Call-ID", self._call_id), ("CSeq", f"{self._cseq} REGISTER"),
                ("Contact", f"{self.contact(port)};expires={expires}"),
                ("Require", "sec-agree"), ("Proxy-Require", "sec-agree"),
                ("Supported", "path, sec-agree")):
            message.add(name, value)
        if over:
            message.add("P-Access-Network-Info",
                        "3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000101")
        return message

    def _sm1(self, fresh, over, expires, resynchronisation):
        message = self._register(over, expires, over.port_us if over else PORT_CLEAR)
        message.add("Security-Client", fresh.client)
        if over:
            message.add("Security-Verify", over.verify)
        if resynchronisation:  # RFC 3310 3.4: RES is empty, AUTS tells the number
            challenge, auts = resynchronisation
            credentials = self._credentials(challenge, aka.Answer(b"", b"", b""), 1)
            credentials["auts"] = base64.b64encode(auts).decode()
        elif self._answer and over:
            self._nonce_count += 1
            credentials = self._credentials(self._nonce, self._answer, self._nonce_count)
        else:
            credentials = {**self._who(), "nonce": "", "response": ""}
        return message.add("Authorization", sip.digest_header(credentials))

    def _sm7(self, fresh, expires):
        message = self._register(fresh, expires, fresh.port_us)
        message.add("Security-Client", fresh.client).add("Security-Verify", fresh.verify)
        self._nonce_count += 1
        return message.add("Authorization", sip.digest_header(
            self._credentials(self._nonce, self._answer, self._nonce_count)))

    def _credentials(self, challenge, answer, count):
        values = {**self._who(), "realm": challenge["realm"], "nonce": challenge["nonce"]}
        more = {}
        if "auth" in sip.split_list(challenge.get("qop", "")):
            more = {"qop": "auth", "nc": f"{count:08x}", "cnonce": secrets.token_hex(4)}
        response = aka.digest(answer.res, self.impi, values["realm"], values["nonce"], "REGISTER",
                              values["uri"], **more)
        return {**values, **more, "algorithm": challenge.get("algorithm", "AKAv1-MD5"),
                "response": response}

    # -- the transaction: RFC 3261 17.1.2, over UDP sent again after T1, 2 T1, ... T2

    async def _exchange(self, message, over):
        branch = message.via().parameters["branch"]
        self._waiting[branch] = answer = asyncio.get_running_loop().create_future()
        deadline = asyncio.get_running_loop().time() + self.patience
        interval = self.t1 if over is None or self.transport == "udp" else self.patience
        try:
            while True:
                await asyncio.wait_for(self._send(message, over), self.patience)
                left = deadline - asyncio.get_running_loop().time()
                done, _ = await asyncio.wait([answer], timeout=max(0, min(interval, left)))
                if done:
                    return answer.result()
                if left <= interval:
                    return None
                interval = min(2 * interval, T2_IN_T1 * self.t1)
        except asyncio.TimeoutError:  # TCP without an answer to its SYN
            return None
        except OSError as error:
            print(f"{self.impi}: {error}", file=sys.stderr, flush=True)
            return None
        finally:
            del self._waiting[branch]

    async def _send(self, message, over):
        self.log.append(("sent", message.method, over and over.handle))
        if self.loses(message):
            return
        if over is None:
            self._clear.send(message, (self.pcscf, PORT_CLEAR))
        else:
            await over.send(message)

    def take_response(self, message):
        """True: it belongs to a REGISTER of ours."""
        if message.cseq()[1] != "REGISTER":
            return False
        self.log.append(("received", message.status, None))
        waiting = self._waiting.get(message.via().parameters.get("branch"))
        if waiting and not waiting.done() and message.status >= 200 and not self.loses(message):
            waiting.set_result(message)
        return True
