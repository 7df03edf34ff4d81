"""What the numbers were measured on and beside: the machine, the day, and the versions of all who took part."""

import datetime
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import unpacked

PACKAGES = (
    "dnsmasq-base", "kea-dhcp4-server", "tftpd-hpa", "nginx", "nsd", "ignition", "kea-admin", "wrk", "dnsperf",
)  # fmt: skip
"""Peers and load generators, as Debian names them."""


def facts() -> dict[str, Any]:
    """For results.json. A package that is not installed is left out."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": _versions(),
    }


def sentence(known: Mapping[str, Any]) -> str:
    """The same for the README."""
    versions = ", ".join(f"{name} {version}" for name, version in known["packages"].items())
    return (
        f"Last run on {known['date']}: {known['processor']}, {known['cpus']} CPUs, Linux {known['kernel']},"
        f" Python {known['python']}; Debian packages {versions}."
    )


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _versions() -> dict[str, str]:
    argv = ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES]
    # It fails for those that are missing, and tells of the others all the same.
    told = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    installed = dict(line.split(" ", 1) for line in told.splitlines() if not line.endswith(" "))
    return {**installed, **unpacked.version()}
