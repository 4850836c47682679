# SPDX-License-Identifier: BSD-3-Clause
"""IP packets cut into fragments, byte by byte (RFC 791 section 3.2, RFC 8200 section 4.5)."""

import struct

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

IPV6_BYTES = 40
FRAGMENT_HEADER = 44


def headers_bytes(packet):
    """What every fragment repeats: the IPv4 header; of IPv6 what stands before ESP or, in clear,
    before the first header that only the destination reads."""
    raw = bytes(packet)
    if raw[0] >> 4 == 4:
        return 4 * (raw[0] & 15)
    at, kind = IPV6_BYTES, raw[6]
    while kind in (0, 43):  # hop-by-hop, routing
        kind, at = raw[at], at + 8 * (raw[at + 1] + 1)
    return at


def fragment(packet, start, content, more, identification=7):
    """A fragment of `packet` with any content."""
    raw = bytes(packet)
    at = headers_bytes(packet)
    if raw[0] >> 4 == 4:
        header = IP(raw[:at])
        header.id, header.flags, header.frag = identification, "MF" if more else 0, start // 8
        del header.len, header.chksum
        return IP(bytes(header / content))
    front, place = bytearray(raw[:at]), 6
    position = IPV6_BYTES
    while position < at:
        place, position = position, position + 8 * (raw[position + 1] + 1)
    header = struct.pack("!BBHI", front[place], 0, start | more, identification)
    front[place] = FRAGMENT_HEADER
    front[4:6] = struct.pack("!H", at - IPV6_BYTES + len(header) + len(content))
    return IPv6(bytes(front) + header + content)


def pieces(packet, size, identification=7):
    """All of the packet in fragments of `size` bytes."""
    content = bytes(packet)[headers_bytes(packet):]
    return [fragment(packet, start, content[start:start + size], start + size < len(content),
                     identification) for start in range(0, len(content), size)]
