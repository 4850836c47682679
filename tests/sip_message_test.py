#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tools/run.d/sip/sip.py: messages as RFC 3261 7 has them, streams cut anywhere, headers."""

import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools/run.d/sip"))
sys.dont_write_bytecode = True
import sip  # noqa: E402

REQUEST = (b"REGISTER sip:ims.example SIP/2.0\r\n"
           b"v: SIP/2.0/UDP [2001:db8::7]:40001;branch=z9hG4bKa;rport, SIP/2.0/TCP 127.0.0.1:6000"
           b";branch=z9hG4bKb\r\n"
           b"Via: SIP / 2.0 / UDP host.example;branch=z9hG4bKc\r\n"
           b"f: <sip:alice@ims.example>;tag=1\r\n"
           b"To: <sip:alice@ims.example>\r\n"
           b"Call-ID: 1@host\r\n"
           b"CSeq: 7 REGISTER\r\n"
           b"Subject: folded\r\n  here\r\n"
           b"l: 4\r\n\r\nbody")


class Messages(unittest.TestCase):
    def test_compact_folded_and_listed_headers(self):
        message = sip.Message.parse(REQUEST)
        self.assertEqual((message.method, message.uri, message.body),
                         ("REGISTER", "sip:ims.example", b"body"))
        self.assertEqual(message.get("subject"), "folded here")
        self.assertEqual(message.transaction(), ("z9hG4bKa", "REGISTER"))
        self.assertEqual([str(sip.Via.parse(message.pop("Via"))) for _ in range(3)],
                         ["SIP/2.0/UDP [2001:db8::7]:40001;branch=z9hG4bKa;rport",
                          "SIP/2.0/TCP 127.0.0.1:6000;branch=z9hG4bKb",
                          "SIP/2.0/UDP host.example:5060;branch=z9hG4bKc"])
        self.assertIsNone(message.pop("Via"))

    def test_what_is_written_reads_the_same(self):
        once = bytes(sip.Message.parse(REQUEST))
        self.assertEqual(bytes(sip.Message.parse(once)), once)

    def test_a_hop_pushes_and_pops_its_via(self):
        message = sip.Message.parse(REQUEST)
        before = bytes(message)
        message.push("Via", "SIP/2.0/UDP 192.0.2.1:5063;branch=z9hG4bKown")
        self.assertEqual(message.via().port, 5063)
        message.pop("Via")
        self.assertEqual(bytes(message), before)

    def test_a_response_has_the_headers_of_its_request(self):
        answer = sip.Message.parse(bytes(sip.Message.parse(REQUEST).response(401, "Unauthorized")))
        self.assertEqual((answer.status, answer.get("Call-ID"), answer.cseq()),
                         (401, "1@host", (7, "REGISTER")))
        self.assertEqual(len(answer.get_all("Via")), 2)
        self.assertIn(";tag=", answer.get("To"))

    def test_what_is_no_message_is_said_to_be_none(self):
        for data in (b"", b"\r\n\r\n", b"HELO\r\n\r\n", b"SIP/2.0 99 low\r\n\r\n",
                     b"REGISTER sip:a SIP/2.0\r\nno header\r\n\r\n",
                     b"REGISTER sip:a SIP/2.0\r\nContent-Length: 5\r\n\r\nfour",
                     b"REGISTER sip:a SIP/2.0\r\nTo: \xff\r\n\r\n", REQUEST[:60]):
            self.assertRaises(sip.NotSip, sip.Message.parse, data)

    def test_no_change_of_bytes_ends_the_parser(self):
        noise = random.Random(1)
        for _ in range(3000):
            data = bytearray(REQUEST)
            for _ in range(noise.randrange(1, 6)):
                data[noise.randrange(len(data))] = noise.randrange(256)
            try:
                message = sip.Message.parse(bytes(data))
                message.transaction(), sip.Uri(message.uri)
            except sip.NotSip:
                pass


class Streams(unittest.TestCase):
    def test_messages_come_out_wherever_the_stream_is_cut(self):
        response = bytes(sip.Message.parse(REQUEST).response(200, "OK"))
        data = REQUEST + b"\r\n\r\n" + REQUEST + response
        noise = random.Random(2)
        for _ in range(200):
            stream, messages, place = sip.Stream(), [], 0
            while place < len(data):
                step = noise.choice((1, 3, 50, 400))
                messages += stream.feed(data[place:place + step])
                place += step
            self.assertEqual([message.method or message.status for message in messages],
                             ["REGISTER", "REGISTER", 200])

    def test_a_stream_without_lengths_is_refused(self):
        for data in (b"OPTIONS sip:a SIP/2.0\r\nTo: <sip:a>\r\n\r\n",
                     b"x" * (sip.MAX_HEAD_BYTES + 1)):
            self.assertRaises(sip.NotSip, sip.Stream().feed, data)


class Headers(unittest.TestCase):
    def test_uris(self):
        for text, expected in (
                ('"A, B" <sip:al%20@[2001:db8::1]:40001;transport=tcp>;expires=7',
                 ("al%20", "2001:db8::1", 40001, {"transport": "tcp"})),
                ("sip:ims.example", (None, "ims.example", None, {})),
                ("<sip:a@192.0.2.1;lr>", ("a", "192.0.2.1", None, {"lr": ""}))):
            uri = sip.Uri(text)
            self.assertEqual((uri.user, uri.host, uri.port, uri.parameters), expected)

    def test_lists_are_cut_at_their_own_commas_only(self):
        self.assertEqual(sip.split_list(r'"a,\",b" <sip:x,y>;p="q,r", <sip:z>,'),
                         [r'"a,\",b" <sip:x,y>;p="q,r"', "<sip:z>"])

    def test_digest_parameters(self):
        parameters = {"username": "a@b", "realm": "r", "nonce": "x==", "algorithm": "AKAv1-MD5",
                      "qop": "auth", "nc": "00000001", "cnonce": "q"}
        for is_challenge in (False, True):
            header = sip.digest_header(parameters, is_challenge)
            self.assertEqual(sip.digest_parameters(header), parameters)
            self.assertEqual('qop="auth"' in header, is_challenge)
        self.assertEqual(sip.digest_parameters('digest  Realm="a, \\"b\\"" ,qop="auth,auth-int"'),
                         {"realm": 'a, "b"', "qop": "auth,auth-int"})
        for bad in ("Basic x", "Digest realm", 'Digest realm="a'):
            self.assertRaises(sip.NotSip, sip.digest_parameters, bad)

    # INT-50, INT-54: SPIs, ports and algorithms are told in these headers (RFC 3329 2.2).
    def test_security_headers(self):
        rows = sip.ipsec_mechanisms(
            "ipsec-3gpp; q=0.5;ALG=hmac-sha-1-96 ; ealg=aes-cbc;spi-c=0000001001"
            ";spi-s=1002;port-c=5062;port-s=5063, tls;q=0.1")
        self.assertEqual([row["name"] for row in rows], ["ipsec-3gpp", "tls"])
        self.assertEqual((rows[0]["alg"], rows[0]["spi-c"]), ("hmac-sha-1-96", "0000001001"))


if __name__ == "__main__":
    unittest.main()
