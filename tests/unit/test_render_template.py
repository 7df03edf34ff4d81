"""Templates: values are merged as data, problems point into the template, equal input gives equal bytes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.document import DocumentError
from ignition.render import Template, render
from ignition.validate import decode_data_url, validate

HEAD = "variant: flatcar\nversion: 1.0.0\n"
HOST: dict[str, Any] = {
    "host": {"name": "node1", "macs": ["aa", "bb"], "items": "kept", "mode": 0o600, "keys": ["k1", "k2"], "none": None}
}


def file_with(inline: str) -> str:
    return HEAD + f"storage:\n  files:\n    - path: /a\n      contents: {{inline: {json.dumps(inline)}}}\n"


def contents(template: str, values: dict[str, Any] | None = None) -> str:
    rendered = render(template, "t.bu", HOST if values is None else values)
    assert rendered.report.problems == ()
    url = json.loads(rendered.config)["storage"]["files"][0]["contents"]["source"]
    return decode_data_url(url).decode()


def refusal(template: str, values: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        render(template, "t.bu", HOST if values is None else values)
    return [str(problem).removeprefix("t.bu:") for problem in caught.value.problems]


TEMPLATE = """\
variant: flatcar
version: 1.0.0
passwd:
  users:
    - name: core
      ssh_authorized_keys: "{{ host['keys'] }}"
storage:
  files:
    - path: /etc/hostname
      mode: "{{ host.mode }}"
      contents: {inline: "{{ host.name }}\\n"}
    - path: /etc/macs
      contents:
        inline: |
          # of {{ host.name }}
          {% for mac in host.macs %}
          mac={{ mac | upper }}
          {% endfor %}
systemd:
  units:
    - name: "{{ host.name }}.service"
      mask: "{{ host.mode == 0 }}"
"""


def test_a_template_becomes_a_config() -> None:
    rendered = render(TEMPLATE, "t.bu", HOST)
    assert rendered.report.problems == ()
    assert rendered.config == (
        b'{"ignition":{"version":"3.3.0"},'
        b'"passwd":{"users":[{"name":"core","sshAuthorizedKeys":["k1","k2"]}]},'
        b'"storage":{"files":['
        b'{"path":"/etc/hostname","contents":{"compression":"","source":"data:,node1%0A"},"mode":384},'
        b'{"path":"/etc/macs","contents":{"compression":"","source":"data:,%23%20of%20node1%0Amac%3DAA%0Amac%3DBB%0A"}}]},'
        b'"systemd":{"units":[{"mask":false,"name":"node1.service"}]}}'
    )


def test_one_template_renders_many_hosts_and_keeps_nothing_between_them() -> None:
    template = Template.parse(file_with("{{ host.name }}"), "t.bu")
    names = ["a", "b", "a"]
    configs = [template.render({"host": {"name": name}}).config for name in names]
    assert configs == [render(file_with("{{ host.name }}"), "t.bu", {"host": {"name": name}}).config for name in names]


def test_an_ignition_config_is_a_template_too_and_keeps_its_order() -> None:
    rendered = render('{"storage": {"links": "{{ links }}"}, "ignition": {"version": "3.1.0"}}', "t.ign", {"links": []})
    assert rendered.config == b'{"storage":{"links":[]},"ignition":{"version":"3.1.0"}}'


@given(st.text())
def test_a_value_never_changes_the_structure_around_it(value: str) -> None:
    rendered = render(file_with("[{{ v }}]"), "t.bu", {"v": value})
    source = json.loads(rendered.config)["storage"]["files"][0]["contents"]
    assert set(json.loads(rendered.config)) == {"ignition", "storage"}
    assert source["compression"] in ("", "gzip")
    if source["compression"] == "":
        assert decode_data_url(source["source"]).decode() == f"[{value}]"


_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(_DATA)
def test_a_lone_expression_yields_its_value_as_data(value: Any) -> None:
    rendered = render('{ignition: {version: 3.3.0}, extra: "{{ v }}"}', "t.ign", {"v": value})
    assert json.loads(rendered.config)["extra"] == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ host.items }}", "kept"),
        ("{{ host.mode + 1 }}x", "385x"),
        ("{{ host.macs | join(',') }}\n", "aa,bb\n"),
        ("{{ host.rack | default('none') }}", "none"),
        ("{{ host.macs | tojson }}\n", '["aa", "bb"]\n'),
        ("{{ '<&>' | tojson }}", '"<&>"'),
        ("{% if host.name is defined %}yes{% else %}no{% endif %}", "yes"),
        ("{{ host.name.removeprefix('node') ~ '-' ~ host.mode }}", "1-384"),
        ("{{ 'true' if true else '' }}{{ true }}", "truetrue"),
        ("{% raw %}{{ kept }}{% endraw %}", "{{ kept }}"),
        ("{# gone #}text", "text"),
        ("a: &b *c", "a: &b *c"),
    ],
)
def test_expressions(text: str, expected: str) -> None:
    assert contents(file_with(text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ hots.name }}", "'hots' is undefined"),
        ("{{ host.nam }}", "'dict object' has no attribute 'nam'"),
        ("a {{ host.nam }}", "'dict object' has no attribute 'nam'"),
        ("{{ [host.nam] }}", "'dict object' has no attribute 'nam'"),
        ("{{ 5 + }}", "unexpected 'end of print statement'"),
        ("{% if %}", "Expected an expression, got 'end of statement block'"),
        ("{{ 'a' | nope }}", "No filter named 'nope'."),
        ("{{ 1 / 0 }}", "division by zero"),
        ("x{{ host.macs }}", "a list has no form as text; use tojson or join"),
        ("x{{ host.none }}", "nothing has no form as text; use tojson or join"),
        ("x\ny {{ gone }}", "'gone' is undefined, in line 2 of the text"),
    ],
)
def test_what_is_wrong_names_the_place_and_the_name(text: str, message: str) -> None:
    assert refusal(file_with(text)) == [f"6: error: storage.files[0].contents.inline: {message}"]


def test_in_a_literal_block_the_line_is_that_of_the_file() -> None:
    before = HEAD + "storage:\n  files:\n    - path: /a\n      contents:\n        inline: |\n          a\n"
    path = "storage.files[0].contents.inline"
    assert refusal(before + "          {{ gone }}\n          b\n") == [f"9: error: {path}: 'gone' is undefined"]
    assert refusal(before + "          b\n          {{ 1 + }}\n") == [f"10: error: {path}: unexpected 'end of print statement'"]


def test_all_problems_are_reported_at_once() -> None:
    text = HEAD + 'storage:\n  files:\n    - path: "{{ a }}"\n    - path: "{{ b }}"\n'
    assert refusal(text) == [
        "5: error: storage.files[0].path: 'a' is undefined",
        "6: error: storage.files[1].path: 'b' is undefined",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ host.__init__ }}",
        "{{ host['macs'].append(1) }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ ('%s' % host).x }}",
        "{{ self }}",
        "{{ range.__globals__ }}",
        "{{ cycler }}",
        "{{ namespace(a=1) }}",
        "{{ lipsum() }}",
        "{{ host | attr('__class__') }}",
        "{{ host.macs | map(attribute='__class__') | first }}",
        "{% import 'os' as os %}",
        "{% include '/etc/passwd' %}",
        "{% extends 'a' %}",
    ],
)
def test_a_template_cannot_reach_beyond_its_values(text: str) -> None:
    assert refusal(file_with("x" + text))


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999999999) %}{% endfor %}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in host.macs recursive %}{{ loop(host.macs) }}{% endfor %}",
        "{{ 'a' * 999999999999 }}",
        "{{ [1] * 999999999999 }}",
        "{{ 2 ** 999999999 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ 'a' | center(999999999) }}",
        "{{ 'a\n' | indent(999999999) }}",
        "{{ range(9999) | join('x' | indent(64) ~ 'y') | replace('x', 'x' * 9) }}",
        "{% set a = 'xxxxxxxxxxxxxxxx' %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}",
        "{% set a = ['x'] %}" + "{% set a = a + a %}" * 60 + "{{ a | join }}",
        "{% set a = ['x'] %}" + "{% set a = [a, a] %}" * 60 + "{{ a | tojson }}",
        "{% set a = 'x' %}" + "{% set a = a | replace('x', a ~ a) %}" * 60 + "{{ a }}",
        "{% for a in range(9999) %}{{ 'x' ~ range(9999) | join }}{% endfor %}",
        "{% set a %}xx{% endset %}{{ a }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "-" * 20000 + "1 }}",
        "{% if true %}" * 500 + "{% endif %}" * 500,
    ],
)  # fmt: skip
@pytest.mark.timeout(5)
def test_work_is_bounded(text: str) -> None:
    assert refusal(file_with("x" + text))


def test_a_key_cannot_hold_an_expression() -> None:
    assert refusal(HEAD + '"{{ key }}": 1\n') == ["3: error: {{ key }}: a key cannot hold an expression"]


@pytest.mark.parametrize("text", ["", "[]", "storage: {}", "5"])
def test_what_is_neither_butane_nor_ignition_is_refused(text: str) -> None:
    assert refusal(text) == ["1: error: neither a Butane document (no variant) nor an Ignition config (no ignition.version)"]


def test_a_lone_surrogate_is_refused() -> None:
    assert refusal(file_with("{{ v }}"), {"v": "\ud800"})[0].startswith(
        "6: error: storage.files[0].contents.inline: 'utf-8' codec"
    )


def test_what_is_wrong_with_the_config_is_in_the_report() -> None:
    rendered = render(HEAD + 'storage:\n  files:\n    - path: "{{ v }}"\n      mode: 0o1755\n', "t.bu", {"v": "relative"})
    assert rendered.config == b""
    assert rendered.report.is_fatal
    assert [str(problem) for problem in rendered.report.problems] == [
        "t.bu:5: error: $.storage.files.0.path: path not absolute",
        "t.bu:6: warning: $.storage.files.0.mode: setuid/setgid/sticky bits are not supported in spec versions older than 3.4.0",
    ]


def test_a_value_of_the_wrong_type_is_in_the_report() -> None:
    report = render(HEAD + 'storage:\n  files: "{{ v }}"\n', "t.bu", {"v": {"a": 1}}).report
    assert [str(problem) for problem in report.problems] == ["t.bu:4: error: $.storage.files: expected a list, found a mapping"]


def test_what_is_rendered_is_what_validate_accepts() -> None:
    assert validate(render(TEMPLATE, "t.bu", HOST).config).problems == ()
