"""Go templates of Mayu as Butane templates: what is translated, what is left, and that nothing disappears without a word."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ignition.document import DocumentError, load, to_data
from ignition.legacy import migrate
from ignition.model import encode
from ignition.render import Template
from mayu_py.importing.go_expressions import translate
from mayu_py.importing.go_templates import BadTemplate, parse
from mayu_py.importing.go_values import Scope, Untranslatable
from mayu_py.importing.report import Fate, Journal
from mayu_py.importing.templates import translate as translate_template
from mayu_py.importing.yaml_text import dump

GOLDEN = Path(__file__).parents[1] / "golden" / "import"
HEAD = "ignition: {version: 2.2.0}\n"
VALUES: dict[str, Any] = {
    "host": {"name": "n1", "serial": "S1", "address": "10.77.0.11", "profile": "core", "addresses": {"eth1": "10.79.0.11"}},
    "network": {"prefix": 24, "gateway": "10.77.0.1", "dns": ["192.0.2.1", "192.0.2.2"]},
    "server": {"url": "http://10.77.0.1:4081"},
    "values": {"users": [{"Name": "alice", "Key": "k"}], "word": 'a "quoted": # word', "empty": ""},
    "report_url": "http://10.77.0.1:4081/host/S1",
}


def translated(text: str, **snippets: str) -> tuple[str, list[str]]:
    """The template, and the report without the lines that every translation has."""
    journal = Journal()
    found = translate_template(HEAD + text, "t.yaml", snippets, {"conf/a": b"plain\n", "conf/t": b"{{.Host.Serial}}"}, journal)
    usual = ("`overwrite: true`", "Butane fcos")
    return found, [str(item) for item in journal.sorted() if not any(word in item.why for word in usual)]


def rendered(text: str, **snippets: str) -> Any:
    """What a host would be served of it."""
    template, left = translated(text, **snippets)
    assert not [line for line in left if ": left: " in line], left
    found = Template.parse(template, "t.bu").render(VALUES)
    assert not found.report.is_fatal, found.report.problems
    return to_data(load(found.config.decode(), "t.ign"))


def unit_text(go: str) -> str:
    """What a unit's text becomes."""
    body = "".join(f"        {line}\n" for line in go.split("\n"))
    config = rendered(f"systemd:\n  units:\n    - name: a.service\n      contents: |\n{body}")
    text = config["systemd"]["units"][0]["contents"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("go", "jinja"),
    [
        (".Host.Serial", "host.serial"),
        ('index .TemplatesEnv "a-b"', 'values["a-b"]'),
        (".TemplatesEnv.a.b", "values.a.b"),
        (".TemplatesEnv.items", 'values["items"]'),
        ('index .Host.AdditionalAddrs "eth1"', "host.addresses.eth1"),
        ("index .Host.MacAddresses 0", "host.mac"),
        ('join .TemplatesEnv.list ","', 'values.list | join(",")'),
        (".TemplatesEnv.list | len", "values.list | length"),
        ('eq .Host.Profile "core" "edge"', 'host.profile == "core" or host.profile == "edge"'),
        ('eq .TemplatesEnv.a "x"', '(values.a | default("")) == "x"'),
        ('or .TemplatesEnv.a "x"', '(values.a | default(false)) or "x"'),
        ("not .TemplatesEnv.a", "not (values.a | default(false))"),
        ('printf "%s:%d" .Host.Serial 5', 'host.serial ~ ":" ~ 5'),
        ("$.Host.Hostname", "host.name"),
    ],
)
def test_pipelines(go: str, jinja: str) -> None:
    assert translate(go, Scope()).text == jinja


@pytest.mark.parametrize(
    "go",
    [
        "",
        ".",
        "html .Host.Serial",
        "$x",
        '.Host.Serial "a"',
        "(.Host.Serial",
        ".Host.LastBoot",
        ".Nothing",
        'printf "%x" 1',
        "@",
        "a b | c",
    ],
)
def test_what_is_not_translated_says_so(go: str) -> None:
    with pytest.raises(Untranslatable):
        translate(go, Scope())


@pytest.mark.parametrize(
    ("go", "text"),
    [
        ("A={{.Host.Serial}}", "A=S1\n"),
        ('A={{index .TemplatesEnv "word"}}', 'A=a "quoted": # word\n'),
        ('A={{if eq .Host.Profile "core"}}yes{{else}}no{{end}}', "A=yes\n"),
        ("{{ range $server := .ClusterNetwork.PrimaryNIC.DNS }}DNS={{ $server }}\n{{ end }}", "DNS=192.0.2.1\nDNS=192.0.2.2\n"),
        ("{{if .TemplatesEnv.missing}}\nA=1\n{{end}}B=2", "B=2\n"),
        ("A={{with .TemplatesEnv.word}}{{.}}{{end}}", 'A=a "quoted": # word\n'),
        ("A={{- /* said */ -}} B", "A=B\n"),
        ("A={{with $x := .Host.Serial}}{{$x}}{{end}}{{.MayuPort}}", "A=S14081\n"),
    ],
)
def test_actions_within_a_text_stay_in_it(go: str, text: str) -> None:
    assert unit_text(go) == text


def test_blocks_between_items_become_statements() -> None:
    config = rendered(
        "systemd:\n  units:\n    - name: a.service\n      enabled: false\n"
        '{{if eq .Host.Profile "core"}}\n{{template "more" .}}\n{{else}}\n    - name: c.service\n      enabled: false\n{{end}}\n',
        snippet='{{define "more"}}\n    - name: b.service\n      enabled: false\n{{end}}',
    )
    assert [unit["name"] for unit in config["systemd"]["units"]] == ["a.service", "b.service"]


def test_a_loop_may_begin_before_its_first_item() -> None:
    go = 'passwd:\n  users:\n{{ range $i, $user := (index .TemplatesEnv "users")}}    - name: {{ $user.Name }}\n{{end}}\n'
    assert rendered(go)["passwd"] == {"users": [{"name": "alice"}]}


def test_a_section_that_is_chosen_is_laid_into_the_section_that_is_there() -> None:
    config = rendered(
        "storage:\n  files:\n    - {filesystem: root, path: /etc/a, mode: 420, contents: {source: 'data:,a'}}\n"
        '{{if eq .Host.Profile "core"}}{{template "net" .}}{{end}}\n',
        snippet='{{define "net"}}\nnetworkd:\n  units:\n  - name: b.network\n    contents: "[Match]"\n{{end}}',
    )
    assert [file["path"] for file in config["storage"]["files"]] == ["/etc/a", "/etc/systemd/network/b.network"]


@pytest.mark.parametrize(
    ("go", "why"),
    [
        ('"data:;base64,{{index .Files "conf/t"}}"', "the file 'conf/t' is a template itself"),
        ('"data:;base64,{{index .Files "conf/none"}}"', "there is no file 'conf/none'"),
        ('"data:;base64,{{.Host.Serial}}"', "a value within base64 would be encoded twice"),
        ('"data:,{{.Host.LastBoot}}"', "there is nothing here like `.LastBoot` of Host"),
        ('"data:,{{template "none" .}}"', "there is no such template"),
    ],
)
def test_what_is_left_is_reported_and_keeps_the_template_from_being_served(go: str, why: str) -> None:
    template, report = translated(
        f"storage:\n  files:\n    - path: /etc/a\n      mode: 420\n      contents:\n        source: {go}\n"
    )
    assert any(line.startswith("t.yaml:7: left: ") and why in line for line in report), report
    with pytest.raises(DocumentError, match="not_translated"):
        Template.parse(template, "t.bu")


@pytest.mark.parametrize(
    ("go", "line", "why"),
    [
        ("a: {{.Host.Serial\n", 2, "an action that does not end"),
        ("{{if .NoTLS}}\na: 1\n", 0, "an `{{end}}` is missing"),
        ("{{end}}\n", 2, "belongs to nothing"),
        ("a: |\n  x\n  {{if .Host.Serial}}\n  y\nb: 1\n{{end}}\n", 6, "begins within a text and ends behind it"),
        ("a: b: c\n", 2, "mapping values are not allowed"),
    ],
)
def test_a_template_that_cannot_be_read_is_kept_as_comments(go: str, line: int, why: str) -> None:
    template, report = translated(go)
    assert any(
        text.startswith(f"t.yaml:{line}: left: the template: " if line else "t.yaml: left: ") and why in text for text in report
    )
    assert all(f"# {text}" in template for text in go.splitlines())
    with pytest.raises(DocumentError, match="not_translated"):
        Template.parse(template, "t.bu")


def test_shipped_manners_give_the_golden_template() -> None:
    rack = GOLDEN / "rack"
    snippets = {path.name: path.read_text() for path in (rack / "templates/snippets").iterdir()}
    files = {"conf/bonding.conf": (rack / "files/conf/bonding.conf").read_bytes()}
    text = (rack / "templates/ignition.yaml").read_text()
    assert translate_template(text, "ignition.yaml", snippets, files, Journal()) == (GOLDEN / "rack.bu").read_text()


def test_without_actions_the_rules_are_those_of_the_migration() -> None:
    old = """{"ignition": {"version": "2.2.0"},
      "storage": {"files": [
        {"filesystem": "root", "path": "/etc/a", "mode": 420, "contents": {"source": "data:,a"}},
        {"filesystem": "root", "path": "/etc/b", "mode": 384, "append": true, "contents": {"source": "http://h/b"}},
        {"filesystem": "root", "path": "/etc/c", "contents": {"source": "data:,c"}}],
        "directories": [{"filesystem": "root", "path": "/opt/d", "mode": 493}],
        "links": [{"filesystem": "root", "path": "/opt/l", "target": "/opt/d"}]},
      "systemd": {"units": [
        {"name": "a.service", "enable": true}, {"name": "b.service", "mask": true},
        {"name": "a.service", "dropins": [{"name": "x.conf", "contents": "[Service]\\n"}]}]},
      "passwd": {"users": [{"name": "u", "create": {"groups": ["sudo"], "shell": "/bin/sh"}, "sshAuthorizedKeys": ["k"]}]}}"""
    journal = Journal()
    ours = Template.parse(translate_template(old, "t.json", {}, {}, journal), "t.bu").render({})
    assert not [item for item in journal.items if item.fate is Fate.LEFT]
    theirs = to_data(load(encode(migrate(old, "3.3.0").unwrap()).decode(), "t"))
    assert _plain(to_data(load(ours.config.decode(), "t"))) == _plain(theirs)


def _plain(value: Any) -> Any:
    """Without what says nothing: Butane writes an empty compression, and leaves out what is false."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if each not in ("", False, None) or key == "source"}
    return [_plain(item) for item in value] if isinstance(value, list) else value


TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
)


@given(TREES)
def test_what_is_dumped_is_read_back(tree: Any) -> None:
    assert to_data(load(dump(tree), "t")) == tree


_ACTIONS = ("{{if .Host.Serial}}", "{{else}}", "{{end}}", "{{range .TemplatesEnv.a}}", "{{.Host.Serial}}", '{{template "x" .}}')
_REST = (
    "{{",
    "}}",
    '{{define "x"}}',
    "\n",
    "  - name: a\n",
    "a: |\n",
    "    text\n",
    "storage:\n",
    "  files:\n",
    " ",
    '"',
    "{% x %}",
    "\0",
)
PIECES = st.sampled_from([*_ACTIONS, *_REST])


@settings(max_examples=300)
@given(st.lists(PIECES | st.text(max_size=4), max_size=25).map("".join))
def test_whatever_stands_in_a_template_gives_a_template_or_a_line_of_the_report(text: str) -> None:
    journal = Journal()
    found = translate_template(text, "t.yaml", {"s.yaml": text}, {}, journal)
    try:
        Template.parse(found, "t.bu")
    except DocumentError:
        assert any(item.fate is Fate.LEFT for item in journal.items)


@pytest.mark.parametrize("text", ["{{" * 10_000, "{{if .a}}" * 200, '{{define "a"}}' * 200, "{{`" * 1000])
def test_hostile_nesting_is_refused(text: str) -> None:
    with pytest.raises(BadTemplate):
        parse(text, "t.yaml")


def test_templates_that_call_each_other_end() -> None:
    snippets = {f"{n}.yaml": f'{{{{define "x{n}"}}}}' + f'{{{{template "x{n + 1}" .}}}}' * 10 + "a{{end}}" for n in range(12)}
    journal = Journal()
    translate_template('{{template "x0" .}}', "t.yaml", snippets, {}, journal)
    assert any("call each other" in item.why for item in journal.items)
