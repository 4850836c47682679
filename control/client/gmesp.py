# SPDX-License-Identifier: BSD-3-Clause
"""libgmesp for Python, through ctypes: nothing to compile. gmesp.h says what every call means.

    with gmesp.Client(events=gmesp.ALL_EVENTS) as engine:
        offer = engine.register(ue="2001:db8::7", pcscf="2001:db8:ffff::1", impi="u@ims",
                                impus=["sip:u@ims"], security_client=header)
        engine.challenge(offer.handle, ck, ik)      # the 401 may leave, with offer.security

Calls wait for their answer, timeout seconds at most, and raise Error. poll() and wait() give events.
"""
import ctypes
import ctypes.util
import os
from dataclasses import dataclass, field

ABI_VERSION = 1
ALL_EVENTS = 0xFFFFFFFF
EVENTS = ("temporary_used", "taken_into_use", "retired", "authentication_timeout", "expired", "deleted",
          "sequence_soft_limit", "sequence_exhausted", "icv_failures")
STATES = ("offered", "temporary", "established", "old")
SELECTORS = {None: 0, "strict": 1, "ports-of-set": 2}
FAIL_REASONS = ("user_authentication", "network_authentication", "synchronisation", "unacceptable",
                "timeout", "other")
ONLY_THIS_SET, AT_ONCE = 1, 2
MAX_HANDLES = 64
_COMPLETION, _FIRST_EVENT, _OVERFLOW, _RESTARTED = 1, 16, 64, 65
_TIMEOUT = -1


class _Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("abi_version", ctypes.c_uint32), ("path", ctypes.c_char_p),
                ("events", ctypes.c_uint32), ("timeout_ms", ctypes.c_int32)]


class _Report(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("kind", ctypes.c_uint32), ("token", ctypes.c_uint64),
                ("handle", ctypes.c_uint64), ("error", ctypes.c_int32), ("state", ctypes.c_uint32),
                ("when_ms", ctypes.c_int64), ("count", ctypes.c_uint64), ("session", ctypes.c_uint32),
                ("encrypted", ctypes.c_uint32), ("code", ctypes.c_char_p),
                ("security", ctypes.c_char_p), ("alg", ctypes.c_char_p), ("ealg", ctypes.c_char_p),
                ("missing", ctypes.POINTER(ctypes.c_uint64))]


class _RegisterCall(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("selector", ctypes.c_uint32), ("ue", ctypes.c_char_p),
                ("pcscf", ctypes.c_char_p), ("contact", ctypes.c_char_p), ("impi", ctypes.c_char_p),
                ("impus", ctypes.POINTER(ctypes.c_char_p)), ("impu_count", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32), ("over", ctypes.c_uint64),
                ("security_client", ctypes.c_char_p), ("security_verify", ctypes.c_char_p)]


class _CheckCall(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("ue_port", ctypes.c_uint16), ("pcscf_port", ctypes.c_uint16),
                ("ue", ctypes.c_char_p), ("impi", ctypes.c_char_p), ("impu", ctypes.c_char_p),
                ("contact", ctypes.c_char_p)]


class Error(Exception):
    """code: "wrong_state", "timeout", ...: gmesp.h and control/README.md."""

    def __init__(self, number, code, text):
        super().__init__(f"{text} ({code})")
        self.number = number
        self.code = code


@dataclass
class Report:
    """One completion or event. kind: "completion", one of EVENTS, "overflow", "engine_restarted"; or
    a number that this version does not know."""
    kind: object
    token: int = 0
    handle: int = 0
    error: int = 0
    code: str = ""
    state: object = None
    when_ms: int = 0
    count: int = 0
    session: int = 0
    encrypted: bool = False
    security: str = ""
    alg: str = ""
    ealg: str = ""
    missing: list = field(default_factory=list)


def _load():
    name = os.environ.get("GMESP_LIBRARY") or ctypes.util.find_library("gmesp") or "libgmesp.so.1"
    library = ctypes.CDLL(name)
    for function in ("gmesp_error_code", "gmesp_error_text"):
        getattr(library, function).restype = ctypes.c_char_p
    library.gmesp_close.restype = None
    return library


_library = _load()


def _bytes(text):
    return None if text is None else os.fsencode(text) if isinstance(text, str) else text


def _texts(texts):
    return (ctypes.c_char_p * len(texts))(*[_bytes(text) for text in texts])


def _error(number, code=""):
    code = code or _library.gmesp_error_code(number).decode()
    return Error(number, code, _library.gmesp_error_text(number).decode())


def _blank():
    report = _Report()
    report.size = ctypes.sizeof(report)
    return report


def _kind(number):
    if _FIRST_EVENT <= number < _FIRST_EVENT + len(EVENTS):
        return EVENTS[number - _FIRST_EVENT]
    return {_COMPLETION: "completion", _OVERFLOW: "overflow", _RESTARTED: "engine_restarted"}.get(
        number, number)


def _report(raw, of_check=False):
    kind = _kind(raw.kind)
    with_state = of_check or _FIRST_EVENT <= raw.kind < _OVERFLOW
    missing = [raw.missing[i] for i in range(min(raw.count, MAX_HANDLES))] if raw.session else []
    return Report(kind, raw.token, raw.handle, raw.error, (raw.code or b"").decode(),
                  STATES[raw.state] if with_state and raw.state < len(STATES) else None, raw.when_ms,
                  raw.count, raw.session, bool(raw.encrypted), (raw.security or b"").decode(),
                  (raw.alg or b"").decode(), (raw.ealg or b"").decode(), missing)


class Client:
    """One connection, for one thread of one process."""

    def __init__(self, path=None, events=0, timeout=1.0):
        self._timeout_ms = int(timeout * 1000)
        self._client = ctypes.c_void_p()
        options = _Options(ctypes.sizeof(_Options), ABI_VERSION, _bytes(path), events, self._timeout_ms)
        self._check(_library.gmesp_connect(ctypes.byref(options), ctypes.byref(self._client)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        _library.gmesp_close(self._client)
        self._client = ctypes.c_void_p()

    def fileno(self):
        """For select and the like: readable when poll() has something, after it has given None."""
        return _library.gmesp_fd(self._client)

    def reconnect(self):
        self._check(_library.gmesp_reconnect(self._client, self._timeout_ms))

    def poll(self):
        """A Report, or None: nothing now."""
        raw = _blank()
        got = _library.gmesp_poll(self._client, ctypes.byref(raw))
        self._check(min(got, 0))
        return _report(raw) if got == 1 else None

    def wait(self, timeout):
        """A Report, or None: nothing in so many seconds."""
        raw = _blank()
        got = _library.gmesp_wait(self._client, int(timeout * 1000), ctypes.byref(raw))
        if got == _TIMEOUT:
            return None
        self._check(min(got, 0))
        return _report(raw)

    def register(self, ue, pcscf, impi, impus=(), security_client=None, security_verify=None, over=0,
                 contact=None, selector=None):
        call = _RegisterCall(ctypes.sizeof(_RegisterCall), SELECTORS[selector], _bytes(ue), _bytes(pcscf),
                             _bytes(contact), _bytes(impi), _texts(impus), len(impus), 0, over,
                             _bytes(security_client), _bytes(security_verify))
        return self._call(_library.gmesp_register, ctypes.byref(call))

    def challenge(self, handle, ck, ik, security_server=None):
        """ck, ik: 16 bytes each."""
        if len(ck) != 16 or len(ik) != 16:
            raise ValueError("CK and IK have 16 bytes")
        return self._call(_library.gmesp_challenge, ctypes.c_uint64(handle), ctypes.c_char_p(bytes(ck)),
                          ctypes.c_char_p(bytes(ik)), ctypes.c_char_p(_bytes(security_server)))

    def response(self, handle, security_verify=None, security_client=None):
        return self._call(_library.gmesp_response, ctypes.c_uint64(handle),
                          ctypes.c_char_p(_bytes(security_verify)),
                          ctypes.c_char_p(_bytes(security_client)))

    def ok(self, handle, expires, impus=()):
        """impus: of P-Associated-URI; none: those of the REGISTER stay."""
        return self._call(_library.gmesp_ok, ctypes.c_uint64(handle), ctypes.c_uint32(expires),
                          _texts(impus), ctypes.c_uint32(len(impus)))

    def fail(self, handle, reason="other"):
        return self._call(_library.gmesp_fail, ctypes.c_uint64(handle),
                          ctypes.c_uint32(FAIL_REASONS.index(reason)))

    def refresh(self, handle, expires):
        return self._call(_library.gmesp_refresh, ctypes.c_uint64(handle), ctypes.c_uint32(expires))

    def delete(self, handle, flags=0):
        return self._call(_library.gmesp_delete, ctypes.c_uint64(handle), ctypes.c_uint32(flags))

    def check(self, ue, ue_port, impi=None, impu=None, pcscf_port=0, contact=None):
        """Which set a request came through. Look at its state: only REGISTER may come over a
        temporary one. What is None is not checked."""
        call = _CheckCall(ctypes.sizeof(_CheckCall), ue_port, pcscf_port, _bytes(ue), _bytes(impi),
                          _bytes(impu), _bytes(contact))
        return self._call(_library.gmesp_check, ctypes.byref(call), of_check=True)

    def subscribe(self, events):
        return self._call(_library.gmesp_subscribe, ctypes.c_uint32(events))

    def reconcile(self, handles, grace):
        """The sets that the caller believes in. Gives (those that are not there, how many others
        have got a deadline of `grace` seconds)."""
        session, missing = 0, []
        parts = [handles[i:i + MAX_HANDLES] for i in range(0, len(handles), MAX_HANDLES)] or [[]]
        for part in parts:
            report = self._call(_library.gmesp_reconcile, ctypes.c_uint32(session),
                                (ctypes.c_uint64 * len(part))(*part), ctypes.c_uint32(len(part)))
            session = report.session
            missing += report.missing
        report = self._call(_library.gmesp_finish_reconcile, ctypes.c_uint32(session),
                            ctypes.c_uint32(int(grace * 1000)))
        return missing, report.count

    def _call(self, function, *arguments, of_check=False):
        raw = _blank()
        error = function(self._client, *arguments, ctypes.c_int(self._timeout_ms), ctypes.byref(raw))
        self._check(error, (raw.code or b"").decode())
        return _report(raw, of_check)

    @staticmethod
    def _check(error, code=""):
        if error != 0:
            raise _error(error, code)
