"""Scenario files: what they mean, and what is said about wrong ones."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from ignition.document import Duration, Size
from kubeception_sim.errors import BadInput
from kubeception_sim.model.boot import Firmware, HostState, Stage, Worker
from kubeception_sim.model.budgets import PowerOnTo, Statistic
from kubeception_sim.model.rules import parse
from kubeception_sim.model.scenario import Await, Check, Fabric, KillWorker, Machine, PowerOff, PowerOn, Quorum

ROOT = Path(__file__).parents[2]

SCENARIO = """\
schema: 1
name: small
profiles:
  - {name: node, ignition: node.bu}
machines:
  - {name: rack-1, serial: KC-1, address: 10.77.0.11, profile: node}
  - {name: rack-2, serial: KC-2, address: 10.77.0.12, profile: node, firmware: uefi}
steps:
  - {do: power-on}
  - {do: await, state: running, within: 5m}
budgets:
  - {metric: power-on-to, stage: running, limit: 4m}
"""


def problems(text: str, *, exists: bool = True) -> list[str]:
    """What is said about a scenario, without the line that counts."""
    with pytest.raises(BadInput) as caught:
        parse(text, "rack.yaml", lambda path: exists)
    return caught.value.message.splitlines()[1:]


def test_defaults_are_a_small_bios_machine_on_a_private_network() -> None:
    scenario = parse(SCENARIO, "rack.yaml")
    assert scenario.fabric == Fabric(IPv4Network("10.77.0.0/24"), IPv4Address("10.77.0.1"))
    assert scenario.machines[0] == Machine(
        "rack-1", "KC-1", IPv4Address("10.77.0.11"), "node", Firmware.BIOS, Size(512 << 20), cpus=1, values={}
    )


def test_the_example_of_the_reference_is_a_scenario() -> None:
    example = (ROOT / "docs/scenarios.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    scenario = parse(example, "docs/scenarios.md")
    assert scenario.steps == (
        PowerOn("power-on", (), Duration(0.5)),
        Await("await", Duration(60), stage=Stage.DHCP, quorum=Quorum.ANY),
        KillWorker("kill-worker", Worker.TFTP, Duration(10)),
        Await("await", Duration(300), state=HostState.RUNNING),
        Check("check", Path("docs/node_checks.py"), ("rack-1",)),
        PowerOff("power-off"),
    )
    assert scenario.budgets == (
        PowerOnTo("power-on-to", Stage.RUNNING, Duration(240)),
        PowerOnTo("power-on-to", Stage.DHCP, Duration(10), Statistic.MAX, Firmware.BIOS),
    )


@pytest.mark.parametrize("file", sorted((ROOT / "scenarios").rglob("*.yaml")), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_shipped_scenario_is_valid_and_complete(file: Path) -> None:
    assert parse(file.read_text(), str(file), Path.is_file).name == file.stem


def test_the_mac_and_the_uuid_follow_from_address_and_serial() -> None:
    first, second = parse(SCENARIO, "rack.yaml").machines
    assert (first.mac, second.mac) == ("52:54:00:4d:00:0b", "52:54:00:4d:00:0c")
    assert first.uuid == parse(SCENARIO, "rack.yaml").machines[0].uuid != second.uuid


def test_no_names_select_every_machine_and_names_keep_the_order_of_the_file() -> None:
    scenario = parse(SCENARIO, "rack.yaml")
    assert scenario.select(()) == scenario.machines
    assert [machine.name for machine in scenario.select(("rack-2", "rack-1"))] == ["rack-1", "rack-2"]


@pytest.mark.parametrize(
    ("quorum", "arrived", "met"),
    [(Quorum.ALL, 1, False), (Quorum.ALL, 2, True), (Quorum.ANY, 0, False), (Quorum.ANY, 1, True), (Quorum.ANY, 2, True)],
)
def test_a_quorum_of_two(quorum: Quorum, arrived: int, met: bool) -> None:
    assert quorum.met(arrived, 2) is met


WRONG = {
    "a misspelt key": ("serial: KC-1", "serail: KC-1", "6: error: machines[0].serail: unknown key (did you mean 'serial'?)"),
    "no unit": (
        "within: 5m",
        "within: 5",
        "10: error: steps[1].within: '5' is not a duration; write it like 90s, 500ms or 1h30m",
    ),
    "no time": ("within: 5m", "within: 0s", "10: error: steps[1].within: must be more than 0s"),
    "no limit": ("limit: 4m", "limit: 0s", "12: error: budgets[0].limit: must be more than 0s"),
    "bad name": ("name: small", "name: Small!", "2: error: name: 'Small!' is no name (small letters, digits and hyphens)"),
    "bad host name": (
        "name: rack-1",
        "name: rack_1",
        "6: error: machines[0].name: 'rack_1' is no host name (small letters, digits and hyphens)",
    ),
    "bad serial": ("serial: KC-1", "serial: K/1", "6: error: machines[0].serial: 'K/1' is no serial (letters, digits, . _ -)"),
    "taken name": ("name: rack-2", "name: rack-1", "7: error: machines[1].name: rack-1 is taken already (see rack.yaml:6)"),
    "taken serial": ("serial: KC-2", "serial: KC-1", "7: error: machines[1].serial: KC-1 is taken already (see rack.yaml:6)"),
    "taken address": ("10.77.0.12", "10.77.0.11", "7: error: machines[1].address: 10.77.0.11 is taken already (see rack.yaml:6)"),
    "outside": ("10.77.0.12", "10.78.0.12", "7: error: machines[1].address: 10.78.0.12 is no host address of 10.77.0.0/24"),
    "the broadcast address": (
        "10.77.0.12",
        "10.77.0.255",
        "7: error: machines[1].address: 10.77.0.255 is no host address of 10.77.0.0/24",
    ),
    "the server's address": ("10.77.0.12", "10.77.0.1", "7: error: machines[1].address: 10.77.0.1 is the server's address"),
    "unknown profile": (
        "KC-1, address: 10.77.0.11, profile: node",
        "KC-1, address: 10.77.0.11, profile: nod",
        "6: error: machines[0].profile: no profile 'nod' (known are: node)",
    ),
    "no cpu": ("firmware: uefi", "cpus: 0", "7: error: machines[1].cpus: a machine needs at least 1 cpu"),
    "little memory": (
        "firmware: uefi",
        "memory: 64M",
        "7: error: machines[1].memory: 64M is too little (the testbed OS needs 256M)",
    ),
    "unknown machine": (
        "{do: power-on}",
        "{do: power-on, machines: [rack-1, rack-2, rack-9]}",
        "9: error: steps[0].machines[2]: no machine 'rack-9' (known are: rack-1, rack-2)",
    ),
    "named twice": (
        "{do: power-on}",
        "{do: power-on, machines: [rack-1, rack-2, rack-1]}",
        "9: error: steps[0].machines[2]: 'rack-1' is named twice",
    ),
    "never powered on": (
        "{do: power-on}",
        "{do: power-on, machines: [rack-1]}",
        "10: error: steps[1]: rack-2: not powered on at this point (put a do: power-on before it)",
    ),
    "both goals": ("state: running", "state: running, stage: dhcp", "10: error: steps[1]: give either 'stage' or 'state'"),
    "no goal": ("state: running, ", "", "10: error: steps[1]: give either 'stage' or 'state'"),
    "to await off": (
        "state: running",
        "state: off",
        "10: error: steps[1].state: mayu knows no state 'off' (to switch machines off, use do: power-off)",
    ),
    "other firmware": ("firmware: uefi}", "firmware: bios}", "12: error: budgets[0].firmware: the rack has no uefi machine"),
    "a small subnet": (
        "steps:",
        "fabric: {subnet: 10.77.0.8/30, server: 10.77.0.9}\nsteps:",
        "8: error: fabric.subnet: 10.77.0.8/30 has no room for a rack (use a /29 or larger)",
    ),
    "a server elsewhere": (
        "steps:",
        "fabric: {server: 10.1.1.1}\nsteps:",
        "8: error: fabric.server: 10.1.1.1 is no host address of 10.77.0.0/24",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_told_with_file_and_line(case: str) -> None:
    before, after, expected = WRONG[case]
    assert before in SCENARIO
    text = SCENARIO.replace(before, after)
    if case == "other firmware":
        text = text.replace("limit: 4m", "limit: 4m, firmware: uefi")
    assert f"rack.yaml:{expected}" in problems(text)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        SCENARIO.replace("name: small", "name: _")
        .replace("firmware: uefi", "firmware: coreboot")
        .replace("within: 5m", "within: 0s")
    )
    with pytest.raises(BadInput) as caught:
        parse(text, "rack.yaml")
    assert caught.value.message.splitlines() == [
        "rack.yaml: 3 problems",
        "rack.yaml:2: error: name: '_' is no name (small letters, digits and hyphens)",
        "rack.yaml:7: error: machines[1].firmware: 'coreboot' is none of: bios, uefi",
        "rack.yaml:10: error: steps[1].within: must be more than 0s",
    ]


def test_another_schema_is_refused() -> None:
    assert any(line.startswith("rack.yaml:1: error: schema: ") for line in problems(SCENARIO.replace("schema: 1", "schema: 2")))


@pytest.mark.parametrize(
    "step", ["{do: power-on, machines: [rack-1, rack-2]}", "{do: power-on}\n  - {do: power-off, machines: [rack-2]}"]
)
def test_a_machine_that_could_not_be_read_is_not_also_unknown_or_off_elsewhere(step: str) -> None:
    text = SCENARIO.replace("10.77.0.12", "somewhere").replace("{do: power-on}", step)
    assert len(problems(text)) == 1


def test_files_that_are_not_there() -> None:
    text = SCENARIO.replace("budgets:", "  - {do: check, testinfra: checks.py}\nbudgets:")
    assert problems(text, exists=False) == [
        "rack.yaml:4: error: profiles[0].ignition: no such file: node.bu",
        "rack.yaml:11: error: steps[2].testinfra: no such file: checks.py",
    ]


def test_a_machine_cannot_be_powered_off_twice() -> None:
    (problem,) = problems(SCENARIO.replace("budgets:", "  - {do: power-off}\n  - {do: power-off}\nbudgets:"))
    assert problem == (
        "rack.yaml:12: error: steps[3]: rack-1, rack-2: not powered on at this point (put a do: power-on before it)"
    )


def _without(section: str) -> str:
    start = SCENARIO.index(f"{section}:\n")
    end = min(at for word in ("machines:", "steps:", "budgets:") if (at := SCENARIO.find(f"\n{word}", start) + 1) > start)
    return SCENARIO[:start] + f"{section}: []\n" + SCENARIO[end:]


def test_a_scenario_without_machines_is_told_so() -> None:
    assert any(line.endswith("error: machines: at least one is needed") for line in problems(_without("machines")))


def test_a_scenario_without_steps_switches_everything_on_and_waits_until_it_runs() -> None:
    on, running = parse(_without("steps"), "rack.yaml", lambda path: True).steps
    assert on == PowerOn("power-on")
    assert running == Await("await", Duration(600), state=HostState.RUNNING)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "rack.yaml:1: error: "),
        ("schema: {", "rack.yaml:2: error: not YAML"),
        ("- a list", "rack.yaml:1: error: "),
        ("name: small\n", "rack.yaml:1: error: 'schema' is missing"),
    ],
)
def test_what_is_no_scenario_at_all_is_bad_input(text: str, said: str) -> None:
    assert problems(text)[0].startswith(said)
