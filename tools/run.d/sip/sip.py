# SPDX-License-Identifier: BSD-3-Clause
"""SIP messages (RFC 3261 7 and 18.3): bytes to a Message and back, and the few headers that a hop
between a phone and its proxy has to read. What is not needed here is carried as it came."""

import re
import secrets

COMPACT = {"v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact",
           "l": "Content-Length", "c": "Content-Type", "k": "Supported", "s": "Subject",
           "e": "Content-Encoding"}
MAX_HEAD_BYTES = 65536
BRANCH_COOKIE = "z9hG4bK"  # RFC 3261 8.1.1.7

_TOP_LINE = re.compile(r"(?:SIP/2\.0 (?P<status>[1-6]\d\d) (?P<reason>.*)"
                       r"|(?P<method>[A-Z]+) (?P<uri>\S+) SIP/2\.0)\Z")
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:;,<>\[\]]+)(?::(?P<port>\d{1,5}))?")
_URI = re.compile(r"sips?:(?:(?P<user>[^@\s<>]*)@)?" + _HOST_PORT.pattern +
                  r"(?P<parameters>(?:;[^\s<>?;]*)*)")
_VIA = re.compile(r"SIP\s*/\s*2\.0\s*/\s*(?P<transport>[A-Za-z]+)\s+" + _HOST_PORT.pattern +
                  r"(?P<parameters>(?:\s*;[^;]*)*)\Z")
_DIGEST_PARAMETER = re.compile(r'\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|\Z)')


class NotSip(Exception):
    """These bytes are not a SIP message."""


def split_list(text, separator=","):
    """Elements of a comma list; a comma in quotes or angle brackets separates nothing."""
    pieces, quoted, angle, begin, skip = [], False, False, 0, False
    for place, letter in enumerate(text):
        if skip:
            skip = False
        elif quoted:
            skip, quoted = letter == "\\", letter != '"'
        elif letter == '"':
            quoted = True
        elif letter in "<>":
            angle = letter == "<"
        elif letter == separator and not angle:
            pieces.append(text[begin:place].strip())
            begin = place + 1
    pieces.append(text[begin:].strip())
    return [piece for piece in pieces if piece]


def bracketed(host):
    return f"[{host}]" if ":" in host else host


class Uri:
    """sip:user@host:port;parameters, with or without its angle brackets and display name."""

    def __init__(self, text):
        found = _URI.search(text)
        if not found:
            raise NotSip(f"no SIP URI in {text[:80]!r}")
        self.user = found["user"]
        self.host = found["host"].strip("[]")
        self.port = int(found["port"]) if found["port"] else None
        self.parameters = dict(piece.lower().partition("=")[::2]
                               for piece in found["parameters"].split(";") if piece)

    def identity(self):
        return f"sip:{self.user}@{self.host}"


class Via:
    """One Via element."""

    def __init__(self, transport, host, port, parameters=()):
        self.transport, self.host, self.port = transport.lower(), host, port
        self.parameters = dict(parameters)

    @classmethod
    def parse(cls, text):
        found = _VIA.match(text)
        if not found:
            raise NotSip(f"no Via: {text[:80]!r}")
        pieces = (piece.strip().partition("=")[::2] for piece in found["parameters"].split(";"))
        return cls(found["transport"], found["host"].strip("[]"), int(found["port"] or 5060),
                   {name.lower(): value for name, value in pieces if name})

    def __str__(self):
        tail = "".join(f";{name}={value}" if value else f";{name}"
                       for name, value in self.parameters.items())
        return f"SIP/2.0/{self.transport.upper()} {bracketed(self.host)}:{self.port}{tail}"


def new_branch():
    return BRANCH_COOKIE + secrets.token_hex(8)


class Message:
    """A request (method, uri) or a response (status, reason); headers in their order."""

    def __init__(self, method=None, uri=None, status=None, reason=""):
        self.method, self.uri, self.status, self.reason = method, uri, status, reason
        self.headers = []  # [name, value]
        self.body = b""

    @property
    def is_request(self):
        return self.status is None

    @classmethod
    def parse(cls, data):
        head, found, body = data.partition(b"\r\n\r\n")
        if not found:
            raise NotSip("no end of the header")
        try:
            text = head.decode()
        except UnicodeDecodeError as error:
            raise NotSip("a header that is not UTF-8") from error
        top, *lines = re.sub(r"\r\n[ \t]+", " ", text).split("\r\n")  # folded lines: RFC 3261 7.3.1
        found = _TOP_LINE.match(top)
        if not found:
            raise NotSip(f"neither a request nor a status line: {top[:80]!r}")
        status = int(found["status"]) if found["status"] else None
        message = cls(found["method"], found["uri"], status, found["reason"] or "")
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise NotSip(f"no header: {line[:80]!r}")
            name = name.strip()
            message.headers.append([COMPACT.get(name.lower(), name), value.strip()])
        message.body = message._own_body(body)
        return message

    def _own_body(self, rest):
        """A datagram may go on behind the body (RFC 3261 18.3); it may not end before."""
        length = self.get("Content-Length")
        if length is None:
            return rest
        if not length.isdigit() or int(length) > len(rest):
            raise NotSip(f"Content-Length {length[:20]!r} of {len(rest)} bytes")
        return rest[:int(length)]

    def __bytes__(self):
        top = (f"{self.method} {self.uri} SIP/2.0" if self.is_request
               else f"SIP/2.0 {self.status} {self.reason}")
        lines = [top, *(f"{name}: {value}" for name, value in self.headers
                        if name.lower() != "content-length"), f"Content-Length: {len(self.body)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body

    def get(self, name, default=None):
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)

    def get_all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def remove(self, name):
        self.headers = [row for row in self.headers if row[0].lower() != name.lower()]

    def add(self, name, value):
        self.headers.append([name, value])
        return self

    def set(self, name, value):
        """In the place of the first of that name, or at the end."""
        for row in self.headers:
            if row[0].lower() == name.lower():
                row[1] = value
                return
        self.add(name, value)

    # A list of headers of one name is one comma list (RFC 3261 7.3.1): Via, Route, Record-Route.
    def push(self, name, value):
        places = [i for i, row in enumerate(self.headers) if row[0].lower() == name.lower()]
        self.headers.insert(places[0] if places else 0, [name, value])

    def top(self, name):
        value = self.get(name)
        return split_list(value)[0] if value else None

    def pop(self, name):
        """The first element, taken out."""
        for place, row in enumerate(self.headers):
            if row[0].lower() == name.lower():
                first, *rest = split_list(row[1]) or [""]
                if rest:
                    row[1] = ", ".join(rest)
                else:
                    del self.headers[place]
                return first
        return None

    def via(self):
        top = self.top("Via")
        if top is None:
            raise NotSip("no Via")
        return Via.parse(top)

    def cseq(self):
        """(number, method)"""
        number, _, method = (self.get("CSeq") or "").partition(" ")
        if not number.isdigit():
            raise NotSip("no CSeq")
        return int(number), method.strip()

    def transaction(self):
        """What a response, or the same request sent again, has in common (RFC 3261 17.1.3)."""
        return self.via().parameters.get("branch"), self.cseq()[1]

    def response(self, status, reason):
        """RFC 3261 8.2.6: with a To tag, so that it can be told from another's answer."""
        answer = Message(status=status, reason=reason)
        for name, value in self.headers:
            if name.lower() in ("via", "from", "to", "call-id", "cseq"):
                answer.add(name, value)
        to = answer.get("To") or ""
        if status > 100 and "tag=" not in to:
            answer.set("To", f"{to};tag={secrets.token_hex(4)}")
        return answer

    def __repr__(self):
        top = f"{self.method} {self.uri}" if self.is_request else f"{self.status} {self.reason}"
        return f"<{top}, {self.get('Call-ID')}, {self.get('CSeq')}>"


class Stream:
    """Messages of a TCP connection: each ends where its Content-Length says (RFC 3261 18.3)."""

    def __init__(self):
        self._left = b""

    def feed(self, data):
        self._left += data
        messages = []
        while True:
            self._left = self._left.lstrip(b"\r\n")  # RFC 3261 7.5, and RFC 5626 4.4.1's keep-alive
            head, found, _ = self._left.partition(b"\r\n\r\n")
            if not found:
                if len(self._left) > MAX_HEAD_BYTES:
                    raise NotSip("a header without end")
                return messages
            length = re.search(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d{1,7})[ \t]*(?:\r\n|\Z)",
                               head, re.IGNORECASE)
            if not length:
                raise NotSip("no Content-Length in a stream")
            end = len(head) + 4 + int(length[1])
            if len(self._left) < end:
                return messages
            messages.append(Message.parse(self._left[:end]))
            self._left = self._left[end:]


def digest_parameters(value):
    """Of WWW-Authenticate or Authorization (RFC 2617 3.2); names in lower case."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        raise NotSip(f"authentication scheme {scheme[:20]!r}")
    parameters, place = {}, 0
    rest = rest.strip()
    while place < len(rest):
        found = _DIGEST_PARAMETER.match(rest, place)
        if not found:
            raise NotSip("a digest header that is none")
        quoted = found[2]
        parameters[found[1].lower()] = (re.sub(r"\\(.)", r"\1", quoted) if quoted is not None
                                        else found[3])
        place = found.end()
    return parameters


def digest_header(parameters, is_challenge=False):
    bare = {"algorithm"} if is_challenge else {"algorithm", "nc", "qop"}  # RFC 2617 3.2.1, 3.2.2

    def one(name, value):
        return f"{name}={value}" if name in bare else f'{name}="{value}"'

    return "Digest " + ", ".join(one(*item) for item in parameters.items())


def ipsec_mechanisms(value):
    """Elements of a Security-* header, each a dict of its parameters and "text" (RFC 3329 2.2)."""
    rows = []
    for text in split_list(value):
        name, *parameters = (piece.strip() for piece in text.split(";"))
        row = {key.strip().lower(): content.strip()
               for key, _, content in (piece.partition("=") for piece in parameters)}
        rows.append({**row, "name": name.lower(), "text": text})
    return rows
