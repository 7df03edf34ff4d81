"""What the tool prints: the config, the findings, and the findings with their lines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.butane import convert
from tests.local_files import FakeFiles

DOUBTFUL = "variant: fcos\nversion: 1.7.0\nstorage:\n  directories:\n    - path: /a\n      mode: 755\n\n# end\n"
DECIMAL = "unreasonable mode would be reasonable if specified in octal; remember to add a leading zero"
WARNING = f"warning at $.storage.directories.0.mode, line 6 col 13: {DECIMAL}"
STRICT = "Config produced warnings and --strict was specified"
EXCERPT = f"""\
warning[$.storage.directories.0.mode]:
  --> a.bu:6:13
   |
 4 |   directories:
 5 |     - path: /a
 6 |       mode: 755
   |             ^^^ {DECIMAL}
 7 |{" "}
 8 | # end
   |
"""


def test_the_config_is_one_line() -> None:
    converted = convert("variant: fcos\nversion: 1.7.0\n")
    assert converted.output == b'{"ignition":{"version":"3.6.0"}}\n'
    assert (converted.messages, converted.explained, converted.is_fatal) == ((), "", False)


def test_a_pretty_config_is_indented_by_two() -> None:
    assert convert("variant: fcos\nversion: 1.7.0\n", pretty=True).output == (
        b'{\n  "ignition": {\n    "version": "3.6.0"\n  }\n}\n'
    )


@pytest.mark.parametrize("pretty", [False, True])
def test_what_html_would_take_for_markup_is_escaped(pretty: bool) -> None:
    document = "variant: fcos\nversion: 1.7.0\nkernel_arguments: {should_exist: ['a<b>&\u2028é']}\n"
    output = convert(document, pretty=pretty).output or b""
    assert rb"a\u003cb\u003e\u0026\u2028" + "é".encode() in output
    assert json.loads(output)["kernelArguments"] == {"shouldExist": ["a<b>&\u2028é"]}


def test_warnings_are_told_beside_the_config() -> None:
    converted = convert(DOUBTFUL, file="a.bu")
    assert converted.output is not None
    assert converted.messages == (WARNING,)
    assert converted.explained == EXCERPT
    assert [problem.located for problem in converted.report.problems] == [
        f"a.bu:6: warning: $.storage.directories.0.mode: {DECIMAL}"
    ]


def test_strict_takes_warnings_for_failures() -> None:
    converted = convert(DOUBTFUL, strict=True, file="a.bu")
    assert (converted.output, converted.is_fatal) == (None, True)
    assert converted.messages == (WARNING, STRICT)
    assert converted.explained == f"{EXCERPT}{STRICT}\n"


def test_a_finding_without_a_place_is_its_line() -> None:
    document = "variant: fcos\nversion: 1.7.0\nignition: {config: {replace: {inline: '{'}}}\n"
    first, second = convert(document).explained.split("\n\n")
    assert first == (
        "error:\n  --> <stdin>:1:1\n   |\n 1 | variant: fcos\n   | ^^^^^^^^ unexpected end of JSON input\n"
        " 2 | version: 1.7.0\n 3 | ignition: {config: {replace: {inline: '{'}}}\n   |"
    )
    assert second.startswith("error[$.ignition.config.replace.inline]:\n  --> <stdin>:3:39\n")


@given(st.text() | st.binary())
def test_every_text_has_an_answer(text: str | bytes) -> None:
    converted = convert(text)
    assert converted.is_fatal == (converted.output is None)
    assert converted.is_fatal == converted.report.is_fatal


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A document with lines gone, doubled, or with another value."""
    lines = DOUBTFUL.replace("mode: 755", "mode: 0755").splitlines()
    values = st.sampled_from(
        ["~", "[]", "{}", "- a", "&a [*a]", "*a", "<<: 1", '"\\0"', "!!binary gIGC", ".nan", "|", "0o7", "tree"]
    )
    for _ in range(draw(st.integers(1, 4))):
        number = draw(st.integers(0, len(lines) - 1))
        key = lines[number].split(":")[0]
        lines[number : number + 1] = draw(st.sampled_from([[], [lines[number]] * 2, [f"{key}: {draw(values)}"]]))
        lines.append("  trees: [{local: tree}]")
    return "\n".join(lines)


@given(damaged(), st.booleans())
def test_no_damage_is_more_than_a_finding(text: str, strict: bool) -> None:
    converted = convert(text, files=FakeFiles({"tree/a": b"x"}), strict=strict)
    assert converted.output is not None or converted.messages
