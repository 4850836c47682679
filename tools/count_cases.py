#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Part of tools/test: prints `N passed, N failed` of a `meson test` run, counted by case.

usage: count_cases.py BUILD_FOLDER

A GoogleTest binary counts as many cases as it started; one that it started and did not finish (a
crash) has failed. Any other test is one case. A binary that runs no case has failed, and so has one
that meson does not call OK although each of its cases passed (a leak, a timeout).
"""

import json
import pathlib
import re
import sys


def count(test):
    """(passed, failed) of one line of meson's testlog.json."""
    output = test.get("stdout", "")
    ended_well = test["result"] == "OK"
    if "[==========] Running " not in output:
        return int(ended_well), int(not ended_well)
    started = output.count("[ RUN      ] ")
    passed = output.count("[       OK ] ")
    skipped = len(re.findall(r"^\[  SKIPPED \] .* ms\)$", output, re.MULTILINE))
    failed = started - passed - skipped
    return passed, failed or int(not ended_well or started == 0)


def main(build):
    log = pathlib.Path(build) / "meson-logs" / "testlog.json"
    if not log.exists():
        sys.exit("meson has run no test")
    counts = [count(json.loads(line)) for line in log.read_text().splitlines()]
    passed, failed = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 1)
    print(f"{passed} passed, {failed} failed")


if __name__ == "__main__":
    main(sys.argv[1])
