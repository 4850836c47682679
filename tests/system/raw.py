# SPDX-License-Identifier: BSD-3-Clause
"""A raw Ethernet port: whole frames in and out of an interface, VLAN tags included."""

import errno
import socket
import struct
import time

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_OUTGOING = 4
TP_STATUS_VLAN_VALID = 1 << 4
DRAIN_SECONDS = 0.001
MAC_BYTES = 12  # destination and source
AUXDATA = struct.Struct("=IIIHHHH")  # status, length, captured, mac, net, vlan_tci, vlan_tpid


class RawPort:
    def __init__(self, interface):
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, frame):
        self._socket.send(bytes(frame))

    def receive(self, seconds):
        """The next frame that arrives, or None. Frames that this side sent are not seen."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                frame, ancillary, _, sender = self._socket.recvmsg(65535, 256)
            except TimeoutError:
                return None
            except OSError as error:
                if error.errno != errno.ENETDOWN:
                    raise
                continue  # a link that went down is told once
            if sender[2] != PACKET_OUTGOING:
                return self._with_vlan_tag(frame, ancillary)
        return None

    @staticmethod
    def _with_vlan_tag(frame, ancillary):
        """The kernel takes the tag out of the frame and tells it beside."""
        for level, kind, data in ancillary:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, *_, tci, tpid = AUXDATA.unpack(data[:AUXDATA.size])
                if status & TP_STATUS_VLAN_VALID:
                    return frame[:MAC_BYTES] + struct.pack(">HH", tpid, tci) + frame[MAC_BYTES:]
        return frame

    def drain(self):
        while self.receive(DRAIN_SECONDS) is not None:
            pass
