"""What validating and rendering configs costs: 1,000 host configs, against ignition-validate and against json.loads."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from benchmarks.lab import ROOT
from benchmarks.results import US, Row, publish
from ignition.document import Data
from ignition.render import Template
from ignition.rules import Report, validate

T = TypeVar("T")

ROUNDS = 7
HOSTS = 1000
PROCESSES = 200  # Configs that ignition-validate is given in each round; each is a process of its own.
TOOL = "ignition-validate"
TEMPLATE = ROOT / "scenarios" / "performance" / "rack-node.bu"


def run() -> list[Row]:
    """Render the configs once, then measure all of it in every round."""
    template = Template.parse(TEMPLATE.read_bytes(), TEMPLATE.name)
    configs = [template.render(_values(host)).config for host in range(HOSTS)]
    # An unknown key is a warning, and a report needs places.
    warned = [config[:-1] + b',"x":0}' for config in configs]
    _check(configs, warned)
    hosts = [_values(host) for host in range(HOSTS)]
    rounds = [
        (_plain(configs), _with_places(warned), {US: _rate(template.render, hosts)}, {US: _import()}) for _ in range(ROUNDS)
    ]
    plain, places, rendering, importing = zip(*rounds, strict=True)
    return [
        Row("valid host configs", "configs/s", plain, goals={TOOL: 20.0, "json.loads": 1 / 15}),
        Row("host configs with a warning each", "configs/s", places),
        Row("rendering and validating a host's template", "configs/s", rendering),
        Row("import of ignition.rules, beyond an empty interpreter", "ms", importing, False),
    ]


def _values(host: int) -> dict[str, Data]:
    values = {
        "ssh_key": f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{host:043d} core@rack",
        "motd": "Welcome to the rack.",
        "position": f"row 1 rack {host // 40} unit {host % 40}",
        "secret": f"secret of {host}",
    }
    name = {"name": f"node-{host}", "serial": f"S{host:06d}"}
    return {"host": name, "values": values, "report_url": f"http://10.0.0.1:4081/host/S{host:06d}"}


def _check(configs: Sequence[bytes], warned: Sequence[bytes]) -> None:
    """Raise unless every config is valid, and distinct: nobody gains by remembering."""
    if len(set(configs)) != HOSTS or any(validate(config) != Report() for config in configs):
        raise RuntimeError("the configs are not what is to be measured")
    if any(len(validate(config).problems) != 1 for config in warned):
        raise RuntimeError("the configs with a warning are not what is to be measured")


def _plain(configs: Sequence[bytes]) -> dict[str, float]:
    return {US: _rate(validate, configs), TOOL: _rate(_process, configs[:PROCESSES]), "json.loads": _rate(json.loads, configs)}


def _with_places(configs: Sequence[bytes]) -> dict[str, float]:
    return {US: _rate(validate, configs[:PROCESSES]), TOOL: _rate(_process, configs[:PROCESSES])}


def _process(config: bytes) -> None:
    subprocess.run([TOOL, "-"], input=config, capture_output=True, check=True)


def _rate(work: Callable[[T], object], items: Sequence[T]) -> float:
    """Items per second of wall time."""
    began = time.perf_counter()
    for item in items:
        work(item)
    return len(items) / (time.perf_counter() - began)


def _import() -> float:
    """Milliseconds that a fresh interpreter takes longer when it imports the validator."""
    seconds = []
    for code in ("", "import ignition.rules"):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        seconds.append(time.perf_counter() - began)
    return (seconds[1] - seconds[0]) * 1000


def main() -> None:
    """Runs, prints the table, and updates results.json and README.md."""
    click.echo(publish("ignition", run()))


if __name__ == "__main__":
    main()
