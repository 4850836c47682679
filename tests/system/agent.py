#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What runs inside a peer: ordinary kernel sockets, driven by one JSON object per line.

The same program serves both ends of a conversation: as init of the user-mode-linux guest (the
orders come over its serial line) and as a child in a network namespace (over stdin and stdout).

  {"op": "run", "argv"}                   -> {"status", "out", "err"} of a program
  {"op": "serve", "proto", "addr", "port"} -> {}; from now on echoes whatever comes there,
                                             with "digest" (udp) SHA-256 of it
  {"op": "exchange", "proto", "from": [addr, port], "to": [addr, port], "seed", "seconds",
   "sizes" (udp; "digest") or "bytes" (tcp)} -> {"bytes": how many came back unchanged}

An order that fails answers {"error": "why"}.
"""

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import tty

ANSWER_SECONDS = 5  # no retransmission of ours: a lost datagram is a failure, TCP may need its own


def bound_socket(proto, local):
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(family, kind)
    # One local port talks to many remote ports at a time, as a P-CSCF's port_pc does.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(tuple(local))
    return sock


def digest(data):
    return hashlib.sha256(data).digest()


def echo_datagrams(sock, answer):
    while True:
        data, sender = sock.recvfrom(65535)
        sock.sendto(answer(data), sender)


def echo_stream(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def echo_connections(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo_stream, args=(connection,), daemon=True).start()


def answer_of(order):
    """Datagrams come back as they are, or, where only one direction is long, as their digest."""
    return digest if order.get("digest") else bytes


def serve(order):
    sock = bound_socket(order["proto"], (order["addr"], order["port"]))
    loop, arguments = echo_datagrams, (sock, answer_of(order))
    if order["proto"] == "tcp":
        sock.listen(16)
        loop, arguments = echo_connections, (sock,)
    threading.Thread(target=loop, args=arguments, daemon=True).start()
    return {}


def exchange_datagrams(sock, noise, sizes, answer):
    for size in sizes:
        sent = noise.randbytes(size)
        sock.send(sent)
        if sock.recv(65535) != answer(sent):
            raise ValueError(f"the echo of a datagram of {size} bytes differs")
    return sum(sizes)


def exchange_stream(sock, noise, count):
    sent = noise.randbytes(count)
    failure = []

    def send_all():
        try:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            failure.append(error)

    sender = threading.Thread(target=send_all)
    sender.start()
    received = bytearray()
    while data := sock.recv(65536):
        received += data
    sender.join()
    if failure:
        raise failure[0]
    if received != sent:
        raise ValueError(f"sent {count} bytes, {len(received)} came back or they differ")
    return count


def exchange(order):
    noise = random.Random(order["seed"])
    with bound_socket(order["proto"], order["from"]) as sock:
        sock.settimeout(order.get("seconds", ANSWER_SECONDS))
        sock.connect(tuple(order["to"]))
        if order["proto"] == "tcp":
            return {"bytes": exchange_stream(sock, noise, order["bytes"])}
        return {"bytes": exchange_datagrams(sock, noise, order["sizes"], answer_of(order))}


def run(order):
    done = subprocess.run(order["argv"], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, check=False)
    return {"status": done.returncode, "out": done.stdout, "err": done.stderr}


def obey(orders, answers):
    operations = {"run": run, "serve": serve, "exchange": exchange}
    for line in orders:
        order = json.loads(line)
        try:
            answer = operations[order["op"]](order)
        except (OSError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def become_init(module_root):
    """First process of the guest: the file systems and kernel modules that ESP needs."""
    for kind, path in (("proc", "/proc"), ("sysfs", "/sys")):
        subprocess.run(["mount", "-t", kind, kind, path], check=True)
    # sha512_generic and drbg: without a random generator every SA that has an IV is refused.
    modules = ("esp4 esp6 xfrm_user authenc echainiv seqiv cbc des_generic hmac "
               "gcm ctr ghash-generic sha512_generic drbg")
    subprocess.run(["modprobe", "-d", module_root, "-a", *modules.split()], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main():
    if os.getpid() != 1:
        return obey(sys.stdin, sys.stdout)
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    become_init(os.environ["MODULE_ROOT"])
    line = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    with open(line, "r", encoding="utf-8", closefd=False) as orders, \
            open(line, "w", encoding="utf-8", closefd=False) as answers:
        answers.write("{}\n")  # raw from here on: orders may come
        answers.flush()
        obey(orders, answers)
    return None


if __name__ == "__main__":
    main()
