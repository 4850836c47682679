# SPDX-License-Identifier: BSD-3-Clause
"""One line per case, and the sum at the end."""

import contextlib
import os
import signal
import sys


class Failure(Exception):
    """What a case found different from what it must be."""


def check(truth, why):
    if not truth:
        raise Failure(why)


def check_equal(actual, expected, what):
    if isinstance(actual, bytes) and isinstance(expected, bytes):
        check(actual == expected, f"{what}: {actual.hex()} instead of {expected.hex()}")
    check(actual == expected, f"{what}: {actual} instead of {expected}")


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def fail(self, name, error):
        self.failed += 1
        kind = "" if isinstance(error, Failure) else f"{type(error).__name__}: "
        print(f"FAIL {name}: {kind}{error}", flush=True)

    @contextlib.contextmanager
    def case(self, name):
        try:
            yield
        except Exception as error:  # one broken case must not hide the others
            self.fail(name, error)
        else:
            self.passed += 1
            print(f"ok   {name}", flush=True)


def run(*groups):
    """Runs each group, a function of a Report. Ends the process: status 0 only if all passed."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that the test bed is taken down
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    if os.geteuid() != 0:
        sys.exit("network namespaces and raw sockets need root")
    report = Report()
    for group in groups:
        try:
            group(report)
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
        except Exception as error:
            report.fail(f"{group.__module__}: stopped", error)
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(0 if report.failed == 0 else 1)
