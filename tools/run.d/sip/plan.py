#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""plan.py FOLDER CALLS PCSCF4 PCSCF6 UES4 UES6: who takes part in tools/run. Makes subscribers with
keys of their own, and writes what ue.py, pcscf.py, SIPp and report.py read:

  ue.json, pcscf.json    the two programs' FILE
  combinations           a row each: index, family, transport, suite, UEs, calls
  sipp/INDEX/users.csv   SIPp's fields: user, address
  esp_sa, sets           empty; pcscf.py adds to them
"""

import ipaddress
import itertools
import json
import os
import pathlib
import sys

DOMAIN = "ims.example"
UES = 25  # of each combination, or as many as there are calls
SUITES = {"aes-sha1": ("hmac-sha-1-96", "aes-cbc"), "null-md5": ("hmac-md5-96", "null")}
LOOPBACK = {"4": "127.0.0.1", "6": "::1"}
FIRST_UE_SERVER = 7000  # where SIPp reaches the UEs: a port for each group
CALLEE, PLAIN_PORT = 5070, 5080
# UEs that register again while they have calls.
MOVING = {"moving-udp": ("4", "udp", "aes-sha1"), "moving-tcp": ("6", "tcp", "null-md5")}
IMPOSTOR, WRONG_RES = "impostor", "wrong-res"
IMPOSTOR_PATIENCE_S = 2


class Plan:
    def __init__(self, folder, calls, pcscfs, ues):
        self._folder, self._calls, self._pcscfs = pathlib.Path(folder), calls, pcscfs
        self._free = {family: ipaddress.ip_network(net).hosts() for family, net in ues.items()}
        self.phones, self.groups, self.combinations = [], [], []

    def phone(self, name, family, transport, suite, **more):
        row = {"name": name, "impi": f"{name}@{DOMAIN}", "impu": f"sip:{name}@{DOMAIN}",
               "k": os.urandom(16).hex(), "opc": os.urandom(16).hex(),
               "address": str(next(self._free[family])), "pcscf": self._pcscfs[family],
               "transport": transport, "suite": SUITES[suite], **more}
        self.phones.append(row)
        return row

    def group(self, phones, family, transport):
        """UEs that one SIPp speaks through."""
        index = len(self.groups)
        self.groups.append({"transport": transport,
                            "local": [LOOPBACK[family], FIRST_UE_SERVER + index]})
        folder = self._folder / "sipp" / str(index)
        folder.mkdir(parents=True)
        (folder / "users.csv").write_text("SEQUENTIAL\n" + "".join(
            f"{row['name']};{row['address']}\n" for row in phones))
        for row in phones:
            row["group"] = index
        return index

    def make(self):
        count = min(self._calls, UES)
        for family, transport, suite in itertools.product("46", ("udp", "tcp"), SUITES):
            index = len(self.groups)
            phones = [self.phone(f"ue{index}-{i}", family, transport, suite) for i in range(count)]
            self.group(phones, family, transport)
            self.combinations.append((index, family, transport, suite, count, self._calls))
        for name, (family, transport, suite) in MOVING.items():
            self.group([self.phone(name, family, transport, suite, later=True)], family, transport)
        self.phone(IMPOSTOR, "4", "udp", "aes-sha1", later=True, fault="impostor",
                   patience=IMPOSTOR_PATIENCE_S)
        self.phone(WRONG_RES, "6", "tcp", "aes-sha1", later=True, fault="wrong-res")

    def subscribers(self):
        """What the home network knows. The impostor's UE has another K than that."""
        rows = [{key: row[key] for key in ("impi", "impu", "k", "opc")} for row in self.phones]
        for row in self.phones:
            if row.get("fault") == "impostor":
                row["k"] = os.urandom(16).hex()
        return rows

    def write(self):
        folder, subscribers = self._folder, self.subscribers()
        servers = {f"{transport} {self._pcscfs[family]}": [LOOPBACK[family], CALLEE]
                   for family in "46" for transport in ("udp", "tcp")}
        for end, config in (
                ("ue", {"orders": str(folder / "ue.orders"), "t1": 0.5, "groups": self.groups,
                        "phones": self.phones}),
                ("pcscf", {"addresses": list(self._pcscfs.values()), "servers": servers,
                           "plain_port": PLAIN_PORT, "subscribers": subscribers,
                           "keys": str(folder / "wireshark" / "esp_sa"),
                           "sets": str(folder / "sets")})):
            config["engine"] = str(folder / f"{end}.sock")
            (folder / f"{end}.json").write_text(json.dumps(config, indent=1))
        (folder / "wireshark" / "esp_sa").touch()
        (folder / "sets").touch()
        (folder / "combinations").write_text("".join(
            "\t".join(map(str, row)) + "\n" for row in self.combinations))


def main(folder, calls, pcscf4, pcscf6, ues4, ues6):
    plan = Plan(folder, int(calls), {"4": pcscf4, "6": pcscf6}, {"4": ues4, "6": ues6})
    plan.make()
    plan.write()


if __name__ == "__main__":
    main(*sys.argv[1:])
