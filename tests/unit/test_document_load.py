"""Text to nodes: what is read, what is refused, and that nothing but DocumentError comes out."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.document import Data, DocumentError, ListNode, MapNode, Mark, Node, ScalarNode, load, to_data
from ignition.document.go_yaml import content_mark, load_go


def data(text: str | bytes) -> Data:
    return to_data(load(text, "t.yaml"))


def refusal(text: str | bytes) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load(text, "t.yaml")
    return [str(problem) for problem in caught.value.problems]


def laughs(levels: int) -> str:
    """Ten values, then lists of ten aliases to the list before: 10 to the power of `levels` values."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_every_value_knows_its_line_and_column() -> None:
    root = load("hosts:\n  - mac: aa\n    tags: [x, ümläut, z]\n", "dir/t.yaml")
    assert isinstance(root, MapNode)
    hosts = root.by_key["hosts"]
    assert isinstance(hosts, ListNode)
    host = hosts.items[0]
    assert isinstance(host, MapNode)
    tags = host.by_key["tags"]
    assert isinstance(tags, ListNode)
    assert [key.mark for key, _ in host.entries] == [Mark("dir/t.yaml", 2, 5), Mark("dir/t.yaml", 3, 5)]
    assert [item.mark.column for item in tags.items] == [12, 15, 23]
    assert str(host.by_key["mac"].mark) == "dir/t.yaml:2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 0o644),
        ("0o644", 0o644),
        ("0x1F", 31),
        ("0b101", 5),
        ("-12", -12),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ("089", 89.0),
        ("true", True),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("off", "off"),
        ("52:54:00:12:34:56", "52:54:00:12:34:56"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("1.2.3.4", "1.2.3.4"),
        ("0x", "0x"),
        ("٣", "٣"),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
        ("!!float 0x10", 16.0),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_scalars_are_read_as_butane_reads_them(text: str, value: Data) -> None:
    assert data(f"key: {text}") == {"key": value}
    assert type(data(text)) is type(value)


def test_aliases_repeat_a_value() -> None:
    assert data("a: &x [1, 2]\nb: *x\nc: [*x, *x]") == {"a": [1, 2], "b": [1, 2], "c": [[1, 2], [1, 2]]}


def test_a_byte_order_mark_is_skipped() -> None:
    assert data("\ufeffa: 1".encode()) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\nb: 2\na: 3\nb: 4", ["3: error: key 'a' is given twice (first in line 1)",
                                     "4: error: key 'b' is given twice (first in line 2)"]),
        ('{"a": 1,\n"a": "\\ud83d\\ude00"}', ["2: error: key 'a' is given twice (first in line 1)"]),
        ("a: &x {b: 1}\nc:\n  <<: *x", ["3: error: merge keys are not supported (repeat the values)"]),
        ("a: [1\nb: 2", ["2: error: not YAML: while parsing a flow sequence did not find expected ',' or ']'"]),
        ("a\n---\nb", ["2: error: a second document begins here (give one document a file)"]),
        ("a:\n  - *gone", ["2: error: alias *gone has no anchor before it"]),
        ("a: &a [*a]", ["1: error: alias *a refers to a value that contains it"]),
        ("a:\n  b: !vault x", ["2: error: unknown tag !vault"]),
        ("a: !!int no", ["1: error: 'no' is no integer"]),
        ("[a]: 1", ["1: error: a list cannot be a key"]),
        (b"a: 1\nb: \xff", ["2: error: not valid UTF-8"]),
        ("a: 1\nb: \ud800", ["2: error: not valid UTF-8"]),
        ("a: 1\nb: é\x00", ["2: error: not YAML: control characters are not allowed"]),
        ("[" * 100_000, ["1: error: nested more than 100 levels deep"]),
        ("\n".join(f"{' ' * n}a:" for n in range(200)), ["100: error: nested more than 100 levels deep"]),
        (laughs(9), ["6: error: expands to more than 1,000,000 values"]),
    ],
)  # fmt: skip
def test_refusals_name_the_line(text: str | bytes, problems: list[str]) -> None:
    assert refusal(text) == [f"t.yaml:{problem}" for problem in problems]


def test_aliases_do_not_hide_depth() -> None:
    chain = "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 120))
    assert refusal(chain) == ["t.yaml:98: error: nested more than 100 levels deep"]


def test_keys_count_towards_the_size() -> None:
    nested = laughs(5) + "\nb: {? *a4 : 1, ? *a4 : 2, ? *a4 : 3, ? *a4 : 4, ? *a4 : 5, ? *a4 : 6, ? *a4 : 7, ? *a4 : 8}\n"
    assert refusal(nested)[-1] == "t.yaml:1: error: expands to more than 1,000,000 values"


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_arbitrary_bytes_are_a_document_or_a_document_error(raw: bytes) -> None:
    for text in (raw, raw.decode("latin-1")):
        try:
            node: Node | None = load(text, "t.yaml")
        except DocumentError as error:
            outcome = bool(error.problems) and all(problem.mark.line >= 1 for problem in error.problems)
        else:
            outcome = node is not None
        assert outcome


_YAML = st.text(alphabet="ab:-[]{},&*!|>'\"#? \n\t01.~<é\U0001f600", max_size=60)


@given(_YAML)
def test_text_that_looks_like_yaml_is_a_document_or_a_document_error(text: str) -> None:
    try:
        outcome = repr(to_data(load(text, "t.yaml")))
    except DocumentError as error:
        outcome = str(error)
    assert outcome


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


@given(_JSON, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_a_json_object_is_read_as_json(value: Data, indent: int | str | None, is_ascii: bool) -> None:
    assert data(json.dumps({"root": value}, indent=indent, ensure_ascii=is_ascii)) == {"root": value}


def test_scalars_keep_their_literal_text() -> None:
    node = load("0644", "t.yaml")
    assert isinstance(node, ScalarNode)
    assert (node.text, node.value()) == ("0644", 420)


def test_go_keeps_keys_that_are_given_twice_and_merge_keys() -> None:
    root = load_go("a: 1\na: 2\n<<: {b: 3}\n", "t.yaml")
    assert isinstance(root, MapNode)
    assert [key.text for key, _ in root.entries] == ["a", "a", "<<"]


def test_go_knows_where_an_alias_stands_and_where_its_content_does() -> None:
    root = load_go("a: &x [1]\nb: *x\n", "t.yaml")
    assert isinstance(root, MapNode)
    alias = root.by_key["b"]
    assert (alias.mark, content_mark(alias)) == (Mark("t.yaml", 2, 4), Mark("t.yaml", 1, 4))
    assert to_data(alias) == [1]


def test_go_reads_the_first_document() -> None:
    assert to_data(load_go("a: 1\n---\n[", "t.yaml")) == {"a": 1}


@pytest.mark.parametrize("load_one", [load, load_go])
def test_aliases_are_bounded_by_what_they_expand_to(load_one: Callable[[str, str], Node]) -> None:
    assert to_data(load_one(laughs(2), "t.yaml"))
    with pytest.raises(DocumentError, match="expands to more than 1,000,000 values"):
        load_one(laughs(8), "t.yaml")


@given(_YAML | st.text() | st.binary())
def test_any_text_is_a_document_or_a_document_error_for_go(text: str | bytes) -> None:
    try:
        outcome = repr(to_data(load_go(text, "t.yaml")))
    except DocumentError as error:
        outcome = str(error)
    assert outcome
