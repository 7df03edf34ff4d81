"""What findings mean for drivers and scenarios, and that the table of programs is all there is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.doctor import PARTS, Finding, Group, Part, Status, Thing, judge, memory_of, parts_of
from kubeception_sim.doctor.tools import TOOLS
from kubeception_sim.errors import CommandFailed
from kubeception_sim.model.rules import parse
from kubeception_sim.model.scenario import DriverName, Scenario

CODE = Path(__file__).parents[2] / "kubeception_sim"
NODE = "\nprofiles: [{name: node, ignition: node.bu}]\n"


def finding(status: Status, *parts: Part) -> Finding:
    return Thing("thing", Group.KERNEL, "a purpose", "get one", frozenset(parts)).found(status, "seen")


def scenario(head: str, machine: str = "", steps: str = "") -> Scenario:
    machines = f"machines:\n  - {{name: m, serial: KC-1, address: 10.77.0.11, profile: node{machine}}}\n"
    return parse(f"schema: 1\nname: s{NODE}{head}\n{machines}steps:\n  - {{do: power-on}}\n{steps}", "s.yaml", lambda _: True)


@pytest.mark.parametrize(
    ("status", "parts", "works"),
    [
        (Status.OK, (Part.GUEST,), Status.OK),
        (Status.MISSING, (Part.GUEST,), Status.MISSING),
        (Status.UNTRIED, (Part.GUEST,), Status.UNTRIED),
        (Status.MISSING, (Part.FABRIC,), Status.MISSING),
        (Status.MISSING, (Part.DOCKER,), Status.OK),
        (Status.MISSING, (), Status.OK),
        (Status.UNTRIED, (Part.DOCKER,), Status.OK),
    ],
)
def test_a_driver_works_when_all_that_it_needs_is_there(status: Status, parts: tuple[Part, ...], works: Status) -> None:
    assert judge("qemu", PARTS[DriverName.QEMU], [finding(status, *parts)]).status is works


def test_what_is_missing_outweighs_what_was_not_tried() -> None:
    found = [finding(Status.UNTRIED, Part.FABRIC), finding(Status.MISSING, Part.FABRIC)]
    judgement = judge("fake", PARTS[DriverName.FAKE], found)
    assert (judgement.status, judgement.reasons) == (Status.MISSING, ("thing: seen",))


@given(st.lists(st.tuples(st.sampled_from(Status), st.frozensets(st.sampled_from(Part))), max_size=6))
def test_only_findings_about_its_parts_count(found: list[tuple[Status, frozenset[Part]]]) -> None:
    for driver, parts in PARTS.items():
        concerned = {status for status, about in found if about & parts}
        worst = next((status for status in (Status.MISSING, Status.UNTRIED) if status in concerned), Status.OK)
        assert judge(driver, parts, [finding(status, *about) for status, about in found]).status is worst


def test_too_little_memory_is_a_reason() -> None:
    assert judge("big", frozenset((Part.FABRIC,)), [], room="memory: too little").reasons == ("memory: too little",)


@pytest.mark.parametrize(
    ("part", "needed"),
    [
        (Part.FABRIC, True),
        (Part.NAMESPACE, True),
        (Part.GUEST, True),
        (Part.DOCKER, False),
        (Part.LIBVIRT, False),
        (Part.DELAY, False),
    ],
)
def test_what_the_default_drivers_do_without_is_not_needed(part: Part, needed: bool) -> None:
    assert finding(Status.MISSING, part).needed is needed


def test_a_scenario_is_made_of_its_driver_its_firmware_and_its_steps() -> None:
    assert parts_of(scenario("driver: namespace")) == PARTS[DriverName.NAMESPACE]
    assert parts_of(scenario("driver: qemu", ", firmware: uefi")) == PARTS[DriverName.QEMU] | {Part.UEFI}
    assert parts_of(scenario("driver: fake", ", firmware: uefi")) == PARTS[DriverName.FAKE]
    rate = "  - {do: fault, name: slow, kind: rate, rate: 1Mbit}\n"
    assert parts_of(scenario("driver: fake", steps=rate)) == {Part.FABRIC, Part.RATE}
    check = "  - {do: check, testinfra: checks.py}\n"
    assert Part.CHECKS in parts_of(scenario("driver: namespace", steps=check))


@pytest.mark.parametrize(
    ("driver", "mib"), [("qemu", 1256), ("libvirt", 1256), ("namespace", 1000), ("docker", 1000), ("fake", 0)]
)
def test_memory_is_that_of_the_machines_and_of_translated_code(driver: str, mib: int) -> None:
    assert memory_of(scenario(f"driver: {driver}", ", memory: 1000M")) == mib << 20


def test_a_failed_program_is_quoted_not_its_command_line() -> None:
    def fail() -> str:
        raise CommandFailed("exit 1: sh -ec nft\n/dev/stdin:1:2-3: Error: Could not process rule: Not supported\nrule\n^^^^")

    detail = Thing("NAT", Group.NETWORK, "services", "load it").tried(fail)
    assert (detail.status, detail.fix) == (Status.MISSING, "load it")
    assert detail.detail == "/dev/stdin:1:2-3: Error: Could not process rule: Not supported"


def required() -> Iterator[tuple[str, str, str]]:
    """Program, package and place: literal arguments of `require`, and the tuples that it is called with in a loop."""
    for file in CODE.rglob("*.py"):
        tree = ast.parse(file.read_text())
        if "require" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} or "doctor" in file.parts:
            continue
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Name(id="require"), args=[ast.Constant(value=str(tool)), ast.Constant(value=str(package))]
                ):
                    yield tool, package, file.name
                case (
                    ast.Assign(targets=[ast.Name(id="_TOOLS")], value=table)
                    | ast.For(iter=ast.Tuple() as table, target=ast.Tuple(elts=[ast.Name(id="tool"), _]))
                ):
                    pairs = table.elts if isinstance(table, ast.Tuple) else []
                    for pair in pairs:
                        if isinstance(pair, ast.Tuple) and all(isinstance(part, ast.Constant) for part in pair.elts):
                            tool, package = (ast.literal_eval(part) for part in pair.elts)
                            yield tool, package, file.name
                case _:
                    pass


def test_every_program_that_the_code_requires_is_in_the_table() -> None:
    table = {tool.name: tool.package for tool in TOOLS}
    found = list(required())
    assert len(found) > 15, "the search finds them"
    assert [each for each in found if table.get(each[0]) != each[1]] == []
