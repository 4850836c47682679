# SPDX-License-Identifier: BSD-3-Clause
"""A peer driven through agent.py: a Linux guest of its own kernel, or a namespace of this one.

The guest is user-mode-linux. Its root is the host's file system, read-only (hostfs), so it needs no
image: init is agent.py under the host's own Python, `ip` and `modprobe` are the host's.
"""

import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time

AGENT = pathlib.Path(__file__).resolve().parent / "agent.py"
KERNEL = "/usr/bin/linux.uml"
MODULES = "/usr/lib/uml/modules"
PYTHON = "/usr/bin/python3"
ORDER_SECONDS = 30
NUDGE_SECONDS = 0.02
# The guest's serial line may stall for good on more than its input queue holds (4096 bytes).
ORDER_BYTES = 2048


class PeerError(Exception):
    """The peer refused an order, or its conversation failed."""


class Peer:
    """The near end of an agent's order line, a connected socket."""

    def __init__(self, line, process, log=None):
        self._line = line
        self._process = process
        self._log = log
        self._pending = b""

    def _read_answer(self, seconds):
        deadline = time.monotonic() + seconds
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._line], [], [], max(0, deadline - time.monotonic()))
            data = self._line.recv(65536) if ready else b""
            if not data:
                words = self._log.read_text(errors="replace")[-2000:] if self._log else ""
                raise PeerError(f"no answer from the peer's agent within {seconds} s {words}")
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        return json.loads(line)

    def order(self, **order):
        line = json.dumps(order).encode() + b"\n"
        if len(line) > ORDER_BYTES:
            raise ValueError(f"an order of {len(line)} bytes: pass a file instead")
        self._line.sendall(line)
        answer = self._read_answer(ORDER_SECONDS)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def run(self, *argv):
        answer = self.order(op="run", argv=argv)
        if answer["status"] != 0:
            raise PeerError(f"{' '.join(argv)}: {answer['err'].strip() or answer['out'].strip()}")
        return answer["out"]

    def ip_batch(self, commands):
        """Many `ip` commands at once; the guest sees the host's files."""
        with tempfile.NamedTemporaryFile("w", prefix="gmesp-ip-") as batch:
            batch.write(commands)
            batch.flush()
            self.run("ip", "-batch", batch.name)

    def wait_ready(self, seconds):
        self._read_answer(seconds)

    def stop(self):
        self._line.close()
        os.killpg(self._process.pid, signal.SIGKILL)  # user-mode-linux is several processes
        self._process.wait()


def nudge(process):
    """user-mode-linux now and then misses the signal that its interfaces have input, and then does
    not look before the next one comes, perhaps seconds later; one signal too many does no harm."""
    while process.poll() is None:
        process.send_signal(signal.SIGIO)
        time.sleep(NUDGE_SECONDS)


def start_in_namespace(namespace):
    near, far = socket.socketpair()
    with far:
        process = subprocess.Popen(["ip", "netns", "exec", namespace, PYTHON, str(AGENT)],
                                   stdin=far, stdout=far, start_new_session=True)
    return Peer(near, process)


def boot(namespace, tap, mac, folder):
    """Boots the guest with `tap`, which lives in `namespace`, as its interface eth0."""
    if not os.access(KERNEL, os.X_OK):
        raise PeerError(f"{KERNEL} is missing: apt-get install user-mode-linux")
    module_root = folder / "modules"
    (module_root / "lib").mkdir(parents=True)
    (module_root / "lib" / "modules").symlink_to(MODULES)
    log = folder / "guest.log"
    near, far = socket.socketpair()
    arguments = [
        KERNEL, "mem=160M", f"uml_dir={folder}", "quiet",
        "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
        f"init={AGENT}", f"MODULE_ROOT={module_root}",
        "con=null", "con0=null,fd:1", "ssl=null", f"ssl0=fd:{far.fileno()}",
        # Not the vector driver: it would leave checksums unfinished.
        f"eth0=tuntap,{tap},{mac}"]
    with far, log.open("wb") as console:
        process = subprocess.Popen(["ip", "netns", "exec", namespace, *arguments],
                                   stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                                   pass_fds=[far.fileno()], start_new_session=True)
    peer = Peer(near, process, log)
    try:
        peer.wait_ready(30)
        threading.Thread(target=nudge, args=(process,), daemon=True).start()
    except PeerError:
        peer.stop()
        raise
    return peer
