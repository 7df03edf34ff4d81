"""The same reports as the real ignition-validate, line by line, on configs made afresh in every run.

The tool here is Debian's: Ignition 2.14 built with Go 1.19, which knows specs 3.0 to 3.3. The rules of this library are
those of Ignition 2.26 built with Go 1.27. What differs between the two is spelt out in RENAMED, NEWER, TYPE_ERROR and
SYNTAX_ERROR; every other line agrees in severity, path, line, column and text, and every other config in the exit code.
"""

import copy
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ignition.rules import validate
from tests.broken_configs import broken_configs
from tests.configs import Layout, layouts, valid_configs

MINORS = range(4)
PROCESSES = 4  # At a time: two for each core of a small machine, as each waits for its pipes.
T = TypeVar("T")

RENAMED: dict[str, str] = {
    # vcontext, which Ignition vendors, writes its messages with a small letter and without a stop by now.
    r": Unused key": ": unused key",
    r"(context tree does not match .* Unused keys may not be reported)\. ?": r"\1",
    # 2.22 found that the bits never worked before spec 3.6.
    r"not supported in spec versions older than 3\.4\.0": "not supported or functional in spec versions older than 3.6.0",
}
"""What a line of 2.14 is called today."""

NEWER = (
    "path conflicts with systemd unit or dropin",
    "doesn't have Install section",
    "filesystem overwrites partitioned device",
    "device matches disk with wipeTable enabled; filesystem will be wiped",
    "user/group ignored for hard link",
)
"""Rules that Ignition 2.15 brought for all specs, says its release notes. Their lines are not compared."""

TYPE_ERROR = re.compile(r"(error at line \d+ col \d+: )json: .*")
"""Go 1.27 names the field Config.storage.files.0.mode, Go 1.19 File.storage.files.mode. The place is the same."""

SYNTAX_ERROR = re.compile(
    r"(error at line \d+ col \d+: )(?:invalid character|unexpected end of JSON|exceeded max depth|invalid escape).*"
)
AT_THE_END = re.compile(r"error at line 0 col 0: .*|error at .*: unexpected end of JSON input")
"""Go 1.27 words syntax errors in another way. The place is the same, but for two kinds.

A text that ends too early: Go 1.19 has no place for it, Go 1.27 that of the number or escape that is cut off.
A wrong character beyond ASCII or in an escape like \\u00e9: Go 1.19 points at its first byte, Go 1.27 behind it.
"""


@dataclass(frozen=True)
class Verdict:
    """What a validator says: whether the config is refused, and the lines of the report in any order."""

    is_fatal: bool
    lines: Counter[str]

    def comparable(self, raw: bytes) -> "Verdict":
        is_placed = raw.isascii() and b"\\u" not in raw
        return Verdict(self.is_fatal, Counter(_today(line, is_placed) for line in self.lines.elements()))


def _today(line: str, is_placed: bool) -> str:
    for old, new in RENAMED.items():
        line = re.sub(old, new, line)
    if found := TYPE_ERROR.fullmatch(line):
        return f"{found[1]}a value of the wrong type"
    if found := SYNTAX_ERROR.fullmatch(line):
        place = "error at the end: " if AT_THE_END.fullmatch(line) else found[1]
        return f"{place if is_placed else 'error: '}not JSON"
    # The tool prints its report without the space at its end that an empty key leaves.
    return line.rstrip()


@pytest.fixture(scope="module")
def tool() -> str:
    path = shutil.which("ignition-validate")
    if path is None:
        pytest.skip("looked for ignition-validate in PATH; it is in Debian's package ignition")
    return path


def theirs(tool: str, raw: bytes) -> Verdict:
    done = subprocess.run([tool, "-"], input=raw, capture_output=True, timeout=20, check=False)
    assert done.returncode in (0, 1), done.stderr
    return verdict(done.returncode != 0, (done.stdout + done.stderr).decode("utf-8", "replace"))


def ours(raw: bytes) -> Verdict:
    report = validate(raw)
    return verdict(report.is_fatal, str(report))


def verdict(is_fatal: bool, report: str) -> Verdict:
    """A key with a line break makes a line of its own, here and there."""
    return Verdict(is_fatal, Counter(line for line in report.split("\n") if line))


def disagreement(raw: bytes, expected: Verdict) -> str:
    """What the two say of one config and should not; empty when they agree."""
    here, there = ours(raw).comparable(raw), expected.comparable(raw)
    newer = Counter({line: n for line, n in (here.lines - there.lines).items() if any(text in line for text in NEWER)})
    is_fatal = there.is_fatal or any(line.startswith("error") for line in newer)
    lines = [f"here alone:  {line}" for line in (here.lines - newer - there.lines).elements()]
    lines += [f"there alone: {line}" for line in (there.lines - here.lines).elements()]
    lines += [f"refused: {here.is_fatal} here, {is_fatal} there"] if here.is_fatal != is_fatal else []
    return "\n".join(lines)


def assert_agreement(raw: bytes, expected: Verdict) -> None:
    if said := disagreement(raw, expected):
        reports = ["here:", *sorted(ours(raw).lines), "ignition-validate:", *sorted(expected.lines)]
        pytest.fail("\n".join([said, repr(raw), *reports]), pytrace=False)


def all_theirs(tool: str, documents: Sequence[bytes]) -> list[Verdict]:
    with ThreadPoolExecutor(PROCESSES) as pool:
        return list(pool.map(lambda raw: theirs(tool, raw), documents))


def assert_alike(tool: str, documents: Sequence[bytes]) -> None:
    for raw, expected in zip(documents, all_theirs(tool, documents), strict=True):
        assert_agreement(raw, expected)


Written: TypeAlias = tuple[Layout, Any]
"""A config and how it is written."""


def assert_alike_or_reduced(tool: str, written: Sequence[Written]) -> None:
    documents = [layout.render(config) for layout, config in written]
    for (layout, config), raw, expected in zip(written, documents, all_theirs(tool, documents), strict=True):
        if disagreement(raw, expected):
            least = layout.render(smallest(tool, layout, config))
            assert_agreement(least, theirs(tool, least))


def smallest(tool: str, layout: Layout, config: Any) -> Any:
    """A config that is still disagreed on, without whatever can be left out."""
    index = 0
    while index < len(list(places(config))):
        less = copy.deepcopy(config)
        holder, key = list(places(less))[index]
        del holder[key]
        raw = layout.render(less)
        if disagreement(raw, theirs(tool, raw)):
            config = less
        else:
            index += 1
    return config


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a document with each of its keys or indexes, outer ones first."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from places(value[key])


def configs(strategy: Callable[[int], st.SearchStrategy[Any]], count: int) -> list[Written]:
    """As many configs of the specs that the tool knows, each in a layout of its own."""
    return fresh(st.tuples(layouts(), st.sampled_from(MINORS).flatmap(strategy)), count)


def fresh(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """Examples of a strategy, not the same ones in the next run; hypothesis makes few of them twice."""
    made = []

    # All are made first, to run many processes at once. Hypothesis has nothing to shrink: `smallest` does that.
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy)
    def make(example: T) -> None:
        made.append(example)

    make()
    assert len(made) >= count
    return made


def test_valid_configs_get_the_same_report(tool: str) -> None:
    assert_alike_or_reduced(tool, configs(valid_configs, 100))


def test_broken_configs_get_the_same_report(tool: str) -> None:
    assert_alike_or_reduced(tool, configs(broken_configs, 450))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid config with a few characters taken out and others put in."""
    text = draw(layouts()).render(draw(st.sampled_from(MINORS).flatmap(valid_configs))).decode("utf-8", "surrogatepass")
    start = draw(st.integers(0, len(text)))
    added = draw(st.text('{}[]",:\\ 0-e.n\n\t\x00é', max_size=3))
    return (text[:start] + added + text[start + draw(st.integers(0, 3)) :]).encode("utf-8", "surrogatepass")


def test_damaged_text_gets_the_same_report(tool: str) -> None:
    assert_alike(tool, fresh(damaged(), 100))


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b" ", b"null", b"[]", b"{}", b"{", b"\xff", b'"3.3.0"', b"\xef\xbb\xbf{}", b"0", b"-", b"tru", b"[1,]", b"\x00"),
        b'{"ignition": {"version": "3.3.0"}}\x00',
        b'{"ignition": {"version": "3.3.0"}} {}',
        b'{"ignition": {"version": "2.2.0"}}',
        b'{"IGNITION": {"Version": "3.3.0"}}',
    ],
)
def test_what_is_no_config_gets_the_same_report(tool: str, raw: bytes) -> None:
    assert_alike(tool, [raw])


@pytest.mark.parametrize("size", [2040, 2047, 2048, 2049, 5000])
def test_long_unit_lines_get_the_same_report(tool: str, size: int) -> None:
    contents = ("#" * size, "[" + "a" * size + "]", "[Unit]\nA=" + "b" * size + "\n", "[Unit]\n" + "a=b\n" * size, "é" * size)
    units = [[{"name": "a.service", "contents": text}] for text in contents]
    assert_alike(tool, [Layout().render({"ignition": {"version": "3.3.0"}, "systemd": {"units": one}}) for one in units])
