"""Nodes to dataclasses: every problem at once, each with its line, its path and a way out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, Literal, Self

import pytest

from ignition.document import Data, Decoded, DocumentError, Duration, Mark, Origin, Size, decode, load

MINUTE = Duration(60.0)
NOTHING = Size(0)


class Colour(StrEnum):
    RED = "red"
    OFF = "off"


@dataclass(frozen=True)
class Mac:
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        if len(text) != 17:
            raise ValueError(f"{text!r} is not a MAC address")
        return cls(text.lower())


@dataclass(frozen=True)
class Host:
    serial: str
    macs: tuple[Mac, ...]
    address: IPv4Address | None = None
    colour: Colour = Colour.RED
    values: Mapping[str, Data] = field(default_factory=dict)
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class Lab:
    hosts: tuple[Host, ...] = ()
    networks: Mapping[str, IPv4Network] = field(default_factory=dict)
    image: Path = Path("default")
    lease: Duration = MINUTE
    memory: Size = NOTHING
    ratio: float = 0.0
    is_ready: bool = field(default=False, metadata={"key": "ready"})
    router: IPv4Interface | None = None
    retries: int = 3


@dataclass(frozen=True)
class PowerOn:
    do: Literal["power-on"]
    machine: str


@dataclass(frozen=True)
class Wait:
    do: Literal["wait", "sleep"]
    time: Duration


@dataclass(frozen=True)
class Plan:
    steps: tuple[PowerOn | Wait, ...]


@dataclass(frozen=True)
class Tree:
    name: str
    children: tuple["Tree", ...] = ()


@dataclass(frozen=True)
class Range:
    first: int
    last: int

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise ValueError(f"the range {self.first}-{self.last} is empty")


def read(text: str, type_: Any) -> Decoded[Any]:
    return decode(load(text, "etc/lab.yaml"), type_)


def problems(text: str, type_: Any) -> list[str]:
    return [str(problem).removeprefix("etc/lab.yaml:") for problem in read(text, type_).problems]


def test_a_whole_document_becomes_one_value() -> None:
    text = """
hosts:
  - serial: s1
    macs: [52:54:00:12:34:56, "52:54:00:AB:00:01"]
    address: 10.0.0.1
    colour: off
    values: {zone: no, ports: [22, 0x50], nested: {deep: ~}}
networks: {pxe: 10.0.0.0/24}
image: images/flatcar
lease: 1h30m
memory: 512M
ratio: 1
ready: yes
router: 10.0.0.1/24
retries: 0
"""
    host = Host(
        serial="s1",
        macs=(Mac("52:54:00:12:34:56"), Mac("52:54:00:ab:00:01")),
        address=IPv4Address("10.0.0.1"),
        colour=Colour.OFF,
        values={"zone": "no", "ports": [22, 80], "nested": {"deep": None}},
    )
    assert read(text, Lab) == Decoded(
        Lab(
            hosts=(host,),
            networks={"pxe": IPv4Network("10.0.0.0/24")},
            image=Path("etc/images/flatcar"),
            lease=Duration(5400.0),
            memory=Size(512 << 20),
            ratio=1.0,
            is_ready=True,
            router=IPv4Interface("10.0.0.1/24"),
            retries=0,
        ),
        (),
    )


def test_all_problems_are_reported_in_the_order_of_the_document() -> None:
    text = """
hosts:
  - serial: 1234
    macs: [52:54:00:12:34:56, oops]
    address: 10.0.0.300
  - macs: 5
lease: 90
memory: 12MB
ready: 1
retries: true
"""
    assert problems(text, Lab) == [
        '3: error: hosts[0].serial: expected a string, found the integer 1234 (quote it: "1234")',
        "4: error: hosts[0].macs[1]: 'oops' is not a MAC address",
        "5: error: hosts[0].address: Octet 300 (> 255) not permitted in '10.0.0.300'",
        "6: error: hosts[1]: 'serial' is missing",
        "6: error: hosts[1].macs: expected a list, found the integer 5",
        "7: error: lease: '90' is not a duration; write it like 90s, 500ms or 1h30m",
        "8: error: memory: '12MB' is not a size; write it like 4096, 512M or 2G (powers of 1024)",
        "9: error: ready: expected true or false, found the integer 1",
        "10: error: retries: expected an integer, found the boolean true",
    ]


def test_a_bad_field_with_a_default_continues_with_the_default() -> None:
    assert read("lease: never\nretries: 7", Lab).value == Lab(retries=7)


def test_a_bad_item_is_left_out_and_a_bad_mandatory_field_leaves_no_value() -> None:
    assert read("[{serial: a, macs: []}, {serial: b}]", tuple[Host, ...]).value == (Host("a", ()),)
    assert read("serial: b", Host).value is None


@pytest.mark.parametrize("text", ["5", "1.5", "true", "0x1F", "0644", "1_000"])
def test_what_is_no_string_must_be_quoted(text: str) -> None:
    (problem,) = read(text, str).problems
    assert problem.hint == f'quote it: "{text}"'
    assert read(f"'{text}'", str).value == text


@pytest.mark.parametrize("text", ["no", "off", "y", "12:30", "52:54:00:12:34:56", "2026-01-01", "1.2.3.4", "3.3.0"])
def test_what_only_yaml_1_1_takes_for_something_else_is_a_string(text: str) -> None:
    assert read(text, str).value == text


@pytest.mark.parametrize(("text", "found"), [("~", "nothing"), ("[]", "a list"), ("{}", "a mapping")])
def test_a_wrong_type_names_what_was_found(text: str, found: str) -> None:
    assert problems(text, str) == [f"1: error: expected a string, found {found}"]


def test_an_unknown_key_lists_the_known_ones() -> None:
    assert problems("name: x\nzzz: 1", Tree) == ["2: error: zzz: unknown key (known are: name, children)"]


def test_a_misspelt_key_counts_as_the_one_that_was_meant() -> None:
    found = read("seriel: s1\nmacs: []", Host)
    assert found.value == Host("s1", ())
    assert [str(problem) for problem in found.problems] == ["etc/lab.yaml:1: error: seriel: unknown key (did you mean 'serial'?)"]


def test_a_choice_lists_the_others() -> None:
    assert problems("{serial: a, macs: [], colour: rad}", Host) == [
        "1: error: colour: 'rad' is none of: red, off (did you mean 'red'?)"
    ]


def test_a_literal_field_tells_members_of_a_union_apart() -> None:
    plan = read("steps: [{do: power-on, machine: a}, {do: sleep, time: 5s}]", Plan).value
    assert plan == Plan((PowerOn("power-on", "a"), Wait("sleep", Duration(5.0))))


def test_a_union_without_its_discriminator_lists_the_choices() -> None:
    assert problems("steps:\n- {machine: a}\n- {doo: wait}\n- {do: power-of}\n- {do: [wait]}\n- 5", Plan) == [
        "2: error: steps[0]: 'do' is missing; it is one of: power-on, wait, sleep",
        "3: error: steps[1]: 'do' is missing; it is one of: power-on, wait, sleep (did you mean 'do' by 'doo'?)",
        "4: error: steps[2].do: 'power-of' is none of: power-on, wait, sleep (did you mean 'power-on'?)",
        "5: error: steps[3].do: expected one of: power-on, wait, sleep; found a list",
        "6: error: steps[4]: expected a mapping with 'do', found the integer 5",
    ]


def test_a_dataclass_may_contain_itself() -> None:
    assert read("{name: a, children: [{name: b}]}", Tree).value == Tree("a", (Tree("b"),))


def test_the_checks_of_a_dataclass_are_problems_too() -> None:
    assert problems("- {first: 2, last: 1}", tuple[Range, ...]) == ["1: error: [0]: the range 2-1 is empty"]


def test_an_origin_points_at_what_was_decoded() -> None:
    (host,) = read("- serial: a\n  macs:\n    - 52:54:00:12:34:56\n", tuple[Host, ...]).unwrap()
    assert [host.origin.mark.line, host.origin.at("serial").line, host.origin.at("macs", 0).line] == [1, 1, 3]
    assert host.origin.at("macs", 0) == Mark("etc/lab.yaml", 3, 7)
    assert host.origin.at("absent") == host.origin.mark
    assert str(host.origin.error("in use twice", "macs", 0)) == "etc/lab.yaml:3: error: [0].macs[0]: in use twice"


def test_unwrap_returns_the_value_or_raises_all_problems() -> None:
    assert read("name: a", Tree).unwrap() == Tree("a")
    with pytest.raises(DocumentError, match=r"lab.yaml:1: error: lease: .*\n.*lab.yaml:2: error: retries: "):
        read("lease: x\nretries: y", Lab).unwrap()


@pytest.mark.parametrize("type_", [bytes, int | str, tuple[int, int], PowerOn | Tree])
def test_a_type_that_no_document_holds_is_a_bug_of_the_caller(type_: Any) -> None:
    with pytest.raises(TypeError):
        read("x: 1", type_)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("500ms", 0.5), ("1h30m", 5400.0), ("1.5h", 5400.0), ("2d", 172800.0), ("3m", 180.0), ("0s", 0.0)],
)
def test_durations_carry_their_unit(text: str, seconds: float) -> None:
    assert Duration.parse(text).seconds == seconds
    assert Duration.parse(str(Duration(seconds))).seconds == seconds


@pytest.mark.parametrize("text", ["", "90", "s", "30m1h", "-5s", "1 h", "5S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "size", "written"),
    [("4096", 4096, "4K"), ("512M", 512 << 20, "512M"), ("1GiB", 1 << 30, "1G"), ("3", 3, "3"), ("0", 0, "0")],
)
def test_sizes_are_powers_of_1024(text: str, size: int, written: str) -> None:
    assert (Size.parse(text).bytes, str(Size.parse(text))) == (size, written)
