"""Templates: values are merged as data, problems point into the template, equal input gives equal bytes."""

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ignition.document import DocumentError
from ignition.render import Template, render
from ignition.rules import decode_data_url, validate
from ignition.secrets import Secret, gunzip

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
    rendered = render(HEAD + 'storage:\n  files:\n    - path: "{{ v }}"\n', "t.bu", {"v": "relative"})
    assert rendered.config == b""
    assert [problem.located for problem in rendered.report.problems] == [
        "t.bu:5: error: $.storage.files.0.path: path not absolute"
    ]


USELESS = 'systemd:\n  units:\n    - {name: "{{ v }}", enabled: true, contents: "[Service]"}\n'


@pytest.mark.parametrize("version", ["3.0.0", "3.3.0"])
def test_warnings_about_ignition_are_in_the_report_and_the_config_is_made(version: str) -> None:
    rendered = render(f"ignition: {{version: {version}}}\n{USELESS}", "t.ign", {"v": "a.service"})
    assert json.loads(rendered.config)["systemd"]["units"][0]["name"] == "a.service"
    assert [(problem.is_error, problem.mark.line) for problem in rendered.report.problems] == [(False, 4)]


def test_butane_is_translated_strictly_so_a_warning_is_an_error() -> None:
    rendered = render(HEAD + USELESS, "t.bu", {"v": "a.service"})
    assert [(problem.is_error, problem.mark.line) for problem in rendered.report.problems] == [(True, 5)]
    assert rendered.config == b""


def test_a_value_of_the_wrong_type_is_in_the_report() -> None:
    report = render(HEAD + 'storage:\n  files: "{{ v }}"\n', "t.bu", {"v": {"a": 1}}).report
    assert [problem.located for problem in report.problems] == [
        "t.bu:4: error: $.storage.files: expected a list, found a mapping"
    ]


def test_what_is_rendered_is_what_validate_accepts() -> None:
    assert validate(render(TEMPLATE, "t.bu", HOST).config).problems == ()


def files(template: str, values: dict[str, Any]) -> list[Any]:
    """The files of a template whose list of files is given."""
    rendered = render("ignition: {version: 3.3.0}\nstorage:\n  files:\n" + template, "t.ign", values)
    assert rendered.report.problems == ()
    return json.loads(rendered.config)["storage"].get("files") or []


def paths(template: str, values: dict[str, Any]) -> list[str]:
    return [file["path"] for file in files(template, values)]


LOOP = """\
    - path: /first
    - "{% for peer in peers if peer.on %}":
        path: "/{{ loop.index }}-{{ peer.name }}-{{ loop.last }}"
    - path: /last
"""


def test_a_loop_makes_items_of_the_list_it_stands_in() -> None:
    peers = [{"name": "a", "on": True}, {"name": "b", "on": False}, {"name": "c", "on": True}]
    assert paths(LOOP, {"peers": peers}) == ["/first", "/1-a-false", "/2-c-true", "/last"]
    assert paths(LOOP, {"peers": []}) == ["/first", "/last"]


CHOICE = """\
    - "{% if n == 1 %}":
        path: /one
      "{% elif n == 2 %}":
        - path: /two
        - path: /zwei
      "{% else %}": "{{ others }}"
"""


@pytest.mark.parametrize(("n", "expected"), [(1, ["/one"]), (2, ["/two", "/zwei"]), (3, ["/x", "/y"])])
def test_the_first_branch_that_holds_is_taken(n: int, expected: list[str]) -> None:
    assert paths(CHOICE, {"n": n, "others": [{"path": "/x"}, {"path": "/y"}]}) == expected


NESTED = """\
    "{% for name, ports in hosts.items() %}":
      "{% for port in ports %}":
        "{% if port > 1 %}":
          path: "/{{ name }}/{{ port }}"
"""


def test_statements_nest_and_loops_take_pairs() -> None:
    assert paths(NESTED, {"hosts": {"a": [1, 2], "b": [3]}}) == ["/a/2", "/b/3"]
    assert paths(NESTED, {"hosts": {}}) == []


AMONG_KEYS = """\
    - path: /a
      "{% if private %}":
        mode: 0600
        contents: {source: ''}
      "{% else %}":
        mode: 0644
"""


@pytest.mark.parametrize(
    ("private", "expected"),
    [(True, {"path": "/a", "mode": 0o600, "contents": {"source": ""}}), (False, {"path": "/a", "mode": 0o644})],
)
def test_a_choice_among_keys_adds_its_keys(private: bool, expected: dict[str, Any]) -> None:
    assert files(AMONG_KEYS, {"private": private}) == [expected]


def test_a_choice_for_one_value_is_that_value_or_nothing() -> None:
    template = """    - path: /a\n      mode: {"{% if private %}": 0600}\n"""
    assert files(template, {"private": True}) == [{"path": "/a", "mode": 0o600}]
    assert files(template, {"private": False}) == [{"path": "/a", "mode": None}]


def test_a_statement_cannot_change_the_structure_around_it() -> None:
    value = '"}]}, "evil": [{'
    assert paths(LOOP, {"peers": [{"name": value, "on": True}]})[1] == f"/1-{value}-true"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("{% for %}", "Expected an expression, got 'end of statement block'"),
        ("{% for a in gone %}", "'gone' is undefined"),
        ("{% if gone.a %}", "'gone' is undefined"),
        ("{% if host.gone %}", "'dict object' has no attribute 'gone'"),
        ("{% for a, b in host.macs %}", "the loop takes lists of 2 values"),
        ("{% for a in 5 %}", "'int' object is not iterable"),
        ("{% for a in host.macs recursive %}", "a recursive loop is not supported here"),
        ("{% if true %}x{% endif %}{% if true %}", "a key holds one statement"),
        ("{% else %}", "else without if before it"),
        ("{% elif true %}", "elif without if before it"),
    ],
)
def test_what_is_wrong_with_a_statement_names_its_line(key: str, message: str) -> None:
    template = f"{HEAD}storage:\n  files:\n    - {json.dumps(key)}:\n        path: /a\n"
    assert refusal(template) == [f"5: error: storage.files[0].{key}: {message}"]


def test_what_is_wrong_in_a_loop_is_said_once_for_all_rounds() -> None:
    template = HEAD + 'storage:\n  files:\n    - "{% for mac in host.macs %}":\n        path: "{{ gone }}"\n'
    assert refusal(template) == ["6: error: storage.files[0].{% for mac in host.macs %}.path: 'gone' is undefined"]


def test_a_loop_cannot_stand_among_other_keys() -> None:
    template = HEAD + 'storage:\n  files:\n    - path: /a\n      "{% for a in host.macs %}": {mode: 1}\n'
    message = "a loop makes items of a list, so it cannot stand among other keys"
    assert refusal(template) == [f"6: error: storage.files[0].{{% for a in host.macs %}}: {message}"]


def test_a_key_comes_from_one_place() -> None:
    template = HEAD + 'storage:\n  files:\n    - path: /a\n      "{% if true %}": {path: /b}\n'
    assert refusal(template) == ["6: error: storage.files[0].path: the key is given twice"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("body", ["path: /a", 'path: "{{ range(9999) | join }}"', '"{% for c in range(9999) %}": {path: /a}'])
def test_the_size_of_what_loops_make_is_bounded(body: str) -> None:
    inner = '"{% for b in range(9999) %}": {' + body + "}"
    problems = refusal(HEAD + 'storage:\n  files:\n    - "{% for a in range(9999) %}": {' + inner + "}\n")
    assert "more than" in problems[-1]


def redacted_contents(inline: str, **values: Any) -> str:
    rendered = render(file_with(inline), "t.bu", values)
    assert "hunter2" not in repr(rendered)
    resource = json.loads(rendered.redacted)["storage"]["files"][0]["contents"]
    redacted = decode_data_url(resource["source"])
    return (gunzip(redacted) if resource["compression"] == "gzip" else redacted).decode()


@pytest.mark.parametrize(
    ("inline", "expected"),
    [
        ("a {{ token }} b", "a *** b"),
        ("{{ token }}", "***"),
        ("{{ plain | secret }}", "***"),
        ("x={{ token | upper }}", "x=***"),
        ("x={{ token[3:] }}", "x=***"),
        ("x={{ token.removeprefix('hun') }}", "x=***"),
        ("x={{ token | reverse }}", "x=***"),
        ("x={{ 'a-' ~ token }} and {{ token + '!' }}", "x=*** and ***"),
        ("x={{ [token, token] | join(',') }}", "x=***"),
        ("x={{ {'a': token} | tojson }}", "x=***"),
        ("x={{ token | replace('h', 'j') }}", "x=***"),
        ("x={{ [token] | map('upper') | join }}", "x=***"),
        ("x={{ token | length }} {{ token == plain }}", "x=15 true"),
        ("{% set t = token %}x={{ t | trim }}", "x=***"),
        ("{% for t in tokens %}{{ t }}{% endfor %}", "***"),
    ],
)
def test_secrets_and_what_is_made_of_them_are_redacted(inline: str, expected: str) -> None:
    token = "hunter2-hunter2"
    assert redacted_contents(inline, token=Secret(token), plain=token, tokens=[Secret(token)]) == expected


def test_the_config_itself_has_the_secret() -> None:
    assert contents(file_with("{{ token }}!"), {"token": Secret("hunter2-hunter2")}) == "hunter2-hunter2!"


@settings(deadline=None)  # Expressions are compiled: a busy machine takes its time.
@given(st.text(min_size=4).filter(lambda text: len(text.strip()) >= 4 and text.isprintable() and "*" not in text))
def test_a_rendered_secret_is_never_in_what_is_redacted(token: str) -> None:
    for inline in ("password {{ token }}", "{{ token | upper }}"):
        # What stands in any such config is no leak.
        assume(token.strip().lower() not in render(file_with("password PASSWORD"), "t.bu", {}).config.decode().lower())
        assert token.strip() not in redacted_contents(inline, token=Secret(token))


@pytest.mark.parametrize(
    "inline",
    [
        "{{ host[token] }}",
        "{{ gone[token] }}",
        "{{ token.gone }}",
        "{{ token() }}",
        "{{ token | int }}",
        "{{ token + 1 }}",
        "{{ token[:2] }}",
        "{{ range(token) }}",
        "{{ [1].index(token) }}",
        "{{ '' ~ host }}{{ token }}",
        "{% for c in token %}{{ c }}{% endfor %}",
        "{% for a, b in [token] %}{% endfor %}",
    ],
)
def test_errors_do_not_show_secrets(inline: str) -> None:
    (problem,) = refusal(file_with("x" + inline), {"host": {}, "token": Secret("hunter2-hunter2")})
    assert problem.startswith("6: error: storage.files[0].contents.inline: ")
    assert "hunter2" not in problem


@pytest.mark.parametrize("field", ["files", "directories", "links"])
def test_the_report_does_not_show_secrets(field: str) -> None:
    for head in (HEAD, "ignition: {version: 3.3.0}\n"):
        report = render(f'{head}storage: {{{field}: "{{{{ v }}}}"}}', "t.bu", {"v": Secret("hunter2-" * 9)}).report
        assert report.is_fatal
        assert "hunter2" not in str(report)


def test_only_text_of_some_length_can_be_secret() -> None:
    where = "6: error: storage.files[0].contents.inline"
    assert refusal(file_with("{{ 5 | secret }}")) == [f"{where}: only text can be secret"]
    assert refusal(file_with("{{ tokne | secret }}")) == [f"{where}: 'tokne' is undefined"]
    assert refusal(file_with("{{ 'abc' | secret }}")) == [f"{where}: a secret has at least 4 characters"]


def test_what_the_schema_makes_secret_is_known_without_a_mark() -> None:
    template = HEAD + 'passwd: {users: [{name: core, password_hash: "$6$hunter2"}]}'
    rendered = render(template, "t.bu", {})
    assert rendered.secrets.redact("is $6$hunter2") == "is ***"
    assert json.loads(rendered.redacted)["passwd"] == {"users": [{"name": "core", "passwordHash": "***"}]}
