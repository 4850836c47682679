# SPDX-License-Identifier: BSD-3-Clause
"""The machine that figures were taken on, as far as it bears on them."""

import datetime
import json
import os
import pathlib
import platform
import re
import subprocess


def output(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return "unknown CPU"


def last_level_cache():
    """Its size as the kernel writes it, "32768K"."""
    sizes = sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    return sizes[-1].read_text().strip() if sizes else "unknown"


def huge_pages():
    transparent = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    chosen = re.search(r"\[(\w+)\]", transparent.read_text()) if transparent.exists() else None
    reserved = re.search(r"HugePages_Total:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    return {"transparent": chosen.group(1) if chosen else "unknown",
            "reserved": int(reserved.group(1)) if reserved else 0}


def compiler(build):
    """"g++ (Debian 12.2.0-14) 12.2.0": what the first target's first source is compiled with."""
    targets = json.loads(output("meson", "introspect", str(build), "--targets") or "[]")
    for source in (source for target in targets for source in target["target_sources"]):
        if source.get("compiler"):
            return output(*source["compiler"], "--version").partition("\n")[0] or "unknown"
    return "unknown"


def build_options(build):
    options = json.loads(output("meson", "introspect", str(build), "--buildoptions") or "[]")
    return {option["name"]: option["value"] for option in options
            if option["name"] in ("buildtype", "native")}


def describe(root, build):
    commit = output("git", "-C", str(root), "rev-parse", "--short", "HEAD")
    changed = output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "last_level_cache": last_level_cache(),
            "kernel": platform.release(), "hugepages": huge_pages(),
            "commit": commit or "unknown", "dirty": bool(changed), "compiler": compiler(build),
            "build": build_options(build), "load_at_start": os.getloadavg()[0],
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}


def sentence(about):
    pages = about["hugepages"]
    return (f"{about['cpu']}, {about['cores']} CPUs, last-level cache {about['last_level_cache']}; "
            f"huge pages: {pages['reserved']} reserved, transparent: {pages['transparent']}; "
            f"load {about['load_at_start']:.1f}\n"
            f"commit {about['commit']}{', changed' if about['dirty'] else ''}, "
            f"{about['compiler']}, {about['build']}, {about['date']}")
