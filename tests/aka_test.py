#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tools/run.d/sip/aka.py against published answers: TS 35.208 4.3 (test set 1), RFC 2617 3.5."""

import base64
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools/run.d/sip"))
sys.dont_write_bytecode = True
import aka  # noqa: E402

K = bytes.fromhex("465b5ce8b199b49faa5f0a2ee238a6bc")
OP = bytes.fromhex("cdc202d5123e20f62b6d676ac72cb318")
OPC = bytes.fromhex("cd63cb71954a9f4e48a5994e37a02baf")
RAND = bytes.fromhex("23553cbe9637a89d218ae64dae47bf35")
SQN = bytes.fromhex("ff9bb4d0b607")
AMF = bytes.fromhex("b9b9")


class TestSet1(unittest.TestCase):
    """TS 35.208 4.3; CK and IK are those from which the key expansion vectors start (SPEC 11)."""

    def test_every_function(self):
        for milenage in (aka.Milenage(K, OPC), aka.Milenage.from_op(K, OP)):
            for function, expected in (
                    (milenage.f1(RAND, SQN, AMF), "4a9ffac354dfafb3"),
                    (milenage.f1_star(RAND, SQN, AMF), "01cfaf9ec4e871e9"),
                    (milenage.f2(RAND), "a54211d5e3ba50bf"),
                    (milenage.f3(RAND), "b40ba9a3c58b2a05bbf0d987b21bf8cb"),
                    (milenage.f4(RAND), "f769bcd751044604127672711c6d3441"),
                    (milenage.f5(RAND), "aa689c648370"),
                    (milenage.f5_star(RAND), "451e8beca43b")):
                self.assertEqual(function.hex(), expected)

    def test_the_nonce_is_rand_and_autn(self):
        nonce, _ = aka.Network(K, OPC, int.from_bytes(SQN, "big") - 1).challenge(RAND, AMF)
        self.assertEqual(base64.b64decode(nonce).hex(),
                         RAND.hex() + "55f328b43577" + "b9b9" + "4a9ffac354dfafb3")


class Challenge(unittest.TestCase):
    def setUp(self):
        self.network, self.usim = aka.Network(K, OPC), aka.Usim(K, OPC)

    # INT-03: both ends come to the same CK and IK.
    def test_both_ends_have_the_same_answer(self):
        nonce, expected = self.network.challenge()
        self.assertEqual(self.usim.answer(nonce), expected)

    def test_keys_differ_from_challenge_to_challenge(self):
        keys = {self.network.challenge()[1] for _ in range(8)}
        self.assertEqual(len(keys), 8)

    # INT-63: the network does not know K.
    def test_another_k_is_a_network_failure(self):
        nonce, _ = aka.Network(bytes(16), OPC).challenge()
        self.assertRaises(aka.NetworkFailure, self.usim.answer, nonce)

    # INT-63: no bit of RAND or AUTN can change.
    def test_every_bit_of_the_nonce_counts(self):
        nonce, _ = self.network.challenge()
        token = base64.b64decode(nonce)
        for bit in range(8 * len(token)):
            spoiled = bytearray(token)
            spoiled[bit // 8] ^= 1 << bit % 8
            self.assertRaises(aka.NetworkFailure, self.usim.answer,
                              base64.b64encode(spoiled).decode())
        self.usim.answer(nonce)

    def test_what_is_no_token_is_a_network_failure(self):
        for nonce in ("", "%%%", "b3Rlcy1vZi1nbWVzcA==", base64.b64encode(bytes(33)).decode()):
            self.assertRaises(aka.NetworkFailure, self.usim.answer, nonce)

    # INT-61: an impostor goes on without the check, and comes to other keys.
    def test_an_impostor_has_other_keys(self):
        nonce, expected = self.network.challenge()
        wrong = aka.Usim(bytes(16), OPC).answer_unchecked(nonce)
        self.assertFalse({*wrong} & {*expected})


class Resynchronisation(unittest.TestCase):
    """INT-64, TS 33.102 6.3.5."""

    def setUp(self):
        self.network, self.usim = aka.Network(K, OPC, 5), aka.Usim(K, OPC, 1000)
        self.nonce, _ = self.network.challenge()
        with self.assertRaises(aka.SynchronisationFailure) as caught:
            self.usim.answer(self.nonce)
        self.auts = caught.exception.auts

    def test_the_network_goes_on_from_the_ues_number(self):
        self.assertTrue(self.network.resynchronise(self.nonce, self.auts))
        self.assertEqual(self.network.sqn, 1000)
        nonce, expected = self.network.challenge()
        self.assertEqual(self.usim.answer(nonce), expected)

    def test_every_bit_of_the_token_counts(self):
        for bit in range(8 * len(self.auts)):
            spoiled = bytearray(self.auts)
            spoiled[bit // 8] ^= 1 << bit % 8
            self.assertFalse(self.network.resynchronise(self.nonce, bytes(spoiled)))
        self.assertFalse(self.network.resynchronise(self.nonce, self.auts[:-1]))
        self.assertEqual(self.network.sqn, 6)

    def test_a_challenge_is_fresh_once(self):
        usim = aka.Usim(K, OPC)
        usim.answer(self.nonce)
        self.assertRaises(aka.SynchronisationFailure, usim.answer, self.nonce)


class Digest(unittest.TestCase):
    def test_the_example_of_rfc_2617(self):
        self.assertEqual(
            aka.digest(b"Circle Of Life", "Mufasa", "testrealm@host.com",
                       "dcd98b7102dd2f0e8b11d0f600bfb0c093", "GET", "/dir/index.html",
                       "00000001", "0a4f113b", "auth"), "6629fae49393a05397450978507c4ef1")

    def test_without_qop(self):  # RFC 2617 3.2.2.1, as RFC 2069 had it
        self.assertEqual(
            aka.digest(b"CircleOfLife", "Mufasa", "testrealm@host.com",
                       "dcd98b7102dd2f0e8b11d0f600bfb0c093", "GET", "/dir/index.html"),
            "1949323746fe6a43ef61f9606e7febea")

    # RFC 3310 3.3: RES is bytes, zeros and all, not text.
    def test_res_is_taken_in_bytes(self):
        results = {aka.digest(res, "u", "r", "n", "REGISTER", "sip:r")
                   for res in (b"", b"\0", b"\0\0", b"\xff\0", "ÿ\0".encode())}
        self.assertEqual(len(results), 5)


if __name__ == "__main__":
    unittest.main()
