"""`mayu plan --against-running`: what a running mayu serves, compared with a config file."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mayu_py import config
from mayu_py.cli import worlds
from mayu_py.core.plan import plan
from mayu_py.core.verbs import Override
from mayu_py.services.desk import Desk
from mayu_py.services.http import admin
from mayu_py.store.sqlite import SqliteStore
from tests.integration.ctl_server import admin_face
from tests.integration.http_face import BUTANE, CONFIG, Faces, faces, folder, tokens

EXAMPLES = settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
# What an operator changes of a config: lines of it, by others.
EDITS: tuple[tuple[str, str], ...] = (
    ("{word: plain}", "{word: fancy}"),
    ("{word: plain}, tags", "{word: plain, more: 1}, tags"),
    ("127.0.0.11", "127.0.0.21"),
    ("profile: disk", "profile: node"),
    ("serial: KC-2, ", ""),
    ("default_profile: node\n", ""),
    ('args: ["url={{ ignition_url }}"]', "args: [quiet]"),
    ("directory: image", "directory: ./image"),
    ("unknown_hosts: enrol", "unknown_hosts: enrol\ntemplates_env: {word: x, other: y}"),
)
TEMPLATES = (BUTANE, BUTANE.replace("/etc/word", "/etc/words"), BUTANE.replace("values.word", "host.name"))
SPEC_2 = json.dumps(
    {
        "ignition": {"version": "2.3.0"},
        "storage": {"files": [{"filesystem": "root", "path": "/etc/{{ values.word }}", "contents": {"source": "data:,x"}}]},
    }
)


def mayu(where: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAYU_", "XDG_"))}
    env = {**kept, "HOME": str(where), "COLUMNS": "100", "NO_COLOR": "1", **environment}
    path = Path(sys.executable).with_name("mayu")
    return subprocess.run([path, *words], cwd=where, env=env, capture_output=True, text=True, check=False, timeout=50)


def edited(text: str, chosen: frozenset[int]) -> str:
    for number in sorted(chosen):
        text = text.replace(*EDITS[number])
    return text


def put(where: Path, text: str, template: str) -> Path:
    where.mkdir(exist_ok=True)
    file = folder(where)
    file.write_text(text)
    (where / "node.bu").write_text(template)
    return file


def shown(face: Faces) -> Any:
    return face.get("/v1/snapshot")


@EXAMPLES
@given(
    one=st.frozensets(st.sampled_from(range(len(EDITS)))),
    other=st.frozensets(st.sampled_from(range(len(EDITS)))),
    templates=st.tuples(st.sampled_from((*TEMPLATES, SPEC_2)), st.sampled_from((*TEMPLATES, SPEC_2))),
)
def test_a_plan_against_a_server_is_the_plan_against_its_file(
    tmp_path_factory: pytest.TempPathFactory, one: frozenset[int], other: frozenset[int], templates: tuple[str, str]
) -> None:
    base = tmp_path_factory.mktemp("plans")
    before = put(base / "before", edited(CONFIG, one), templates[0])
    # The state of the new config's file is what plans are made over: let it be that of the server.
    after = put(base / "after", f"{edited(CONFIG, other)}state: ../before/mayu.db\n", templates[1])
    read = config.read(before)
    with Desk("admin-1", read.settings, lambda: SqliteStore(read.settings.state)) as desk:
        face = Faces(desk, admin.application(desk, read), admin.application(desk, read))
        face.enrol()
        desk.carry_out(Override("word", "mine"), "node-2", "local")
        told = shown(face)
    found = plan(*worlds.of_served(told, "http://server", after))
    assert found.to_data() == plan(*worlds.of_files(before, after)).to_data()


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_the_command_prints_the_same_of_a_server_as_of_its_file(tmp_path: Path, more: tuple[str, ...]) -> None:
    with admin_face(tmp_path) as served:
        served.enrol(1)
        new = tmp_path / "new.yaml"
        new.write_text(edited(CONFIG, frozenset({0, 3})))
        of_file = mayu(tmp_path, "plan", "-c", "new.yaml", "--against", str(served.path), *more)
        of_server = mayu(tmp_path, "plan", "-c", "new.yaml", "--against-running", served.url, *more)
        chosen = mayu(tmp_path, "plan", "-c", "new.yaml", "--against-running", *more, MAYU_SERVER=served.url)
    assert of_file.stdout
    assert (of_server.stdout, of_server.stderr, of_server.returncode) == (of_file.stdout, "", 0)
    assert chosen.stdout == of_file.stdout


def test_what_runs_counts_and_not_what_its_files_say_by_now(tmp_path: Path) -> None:
    with admin_face(tmp_path) as served:
        served.path.write_text(edited(CONFIG, frozenset({0})))
        (tmp_path / "node.bu").write_text(TEMPLATES[1])
        ran = mayu(tmp_path, "plan", "-c", "mayu.yaml", "--against-running", served.url, "--json", "--exit-code")
    found = json.loads(ran.stdout)
    assert (ran.returncode, found["summary"]["changed"]) == (2, 2)
    assert {cause["name"] for group in found["groups"] for cause in group["causes"]} == {"template", "values.word"}


def test_what_has_enrolled_at_the_server_is_planned_for(tmp_path: Path) -> None:
    with admin_face(tmp_path) as served:
        name = served.enrol(7).name
        new = put(tmp_path / "elsewhere", edited(CONFIG, frozenset({0})), BUTANE)
        ran = mayu(tmp_path, "plan", "-c", str(new), "--against-running", served.url, "--json")
    assert name in {host["name"] for group in json.loads(ran.stdout)["groups"] for host in group["hosts"]}
    assert not (tmp_path / "elsewhere/mayu.db").exists()


def refused(where: Path, *words: str, **environment: str) -> list[str]:
    ran = mayu(where, "plan", "-c", "mayu.yaml", *words, **environment)
    assert (ran.returncode, ran.stdout) == (1, "")
    return ran.stderr.splitlines()


def test_who_may_not_see_the_config_is_told_who_may(tmp_path: Path) -> None:
    with admin_face(tmp_path, tokens()) as served:
        running = ("--against-running", served.url)
        nobody, wrong = refused(tmp_path, *running), refused(tmp_path, *running, MAYU_TOKEN="token-of-x")
        operator = refused(tmp_path, *running, MAYU_TOKEN="token-of-worker")
        (tmp_path / "token").write_text("token-of-boss\n")
        ctl = Path(sys.executable).with_name("mayuctl")
        added = [str(ctl), "context", "add", "lab", "--server", served.url, "--token-file", str(tmp_path / "token")]
        subprocess.run(added, env={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""}, check=True, capture_output=True)
        for way in ((*running, "--token-file", "token"), ("--context", "lab"), ("--against-running",)):
            ran = mayu(tmp_path, "plan", "-c", "mayu.yaml", *way)
            assert (ran.stdout, ran.stderr) == ("nothing changes for 2 hosts\n", "")
    assert nobody[0] == f"mayu: {served.url} does not show what it serves: who are you?"
    assert wrong[0].endswith("nobody has this token")
    assert operator[0].endswith("token worker has the role operate; this needs admin")
    for lines in (nobody, wrong, operator):
        assert lines[1].startswith("hint: ")
        assert lines[1].endswith("a config is shown to the role `admin` alone")


@contextmanager
def answering(status: int, value: Any) -> Iterator[str]:
    """Something that says the same to every GET."""
    body = json.dumps(value).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def newer(told: dict[str, Any], at: tuple[str, ...], more: Mapping[str, Any]) -> dict[str, Any]:
    """What a newer mayu says, with more in one place."""
    place = told
    for step in at:
        place = place[step]
    place.update(more)
    return {**told, "mayu": "99.0"}


MORE: Mapping[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "document": ((), {"extra": 1}, "the key 'extra' is not known"),
    "config": ((), {"config": f"{CONFIG}nonsense: 1\n"}, "nonsense"),
    "template": (("templates",), {"node": "variant: fcos\nversion: 99.0.0\n{"}, "node.bu"),
    "inventory": (("inventory",), {"extra": {}}, "the key 'extra' is not known"),
    "host": (("inventory", "enrolled", "127-0-1-1"), {"extra": 1}, "the key 'extra' is not known"),
    "edits": (("inventory",), {"edits": {"node-1": {"extra": 1}}}, "the key 'extra' is not known"),
    "told": (("inventory",), {"told": {"node-1": {"extra": 1}}}, "the key 'extra' is not known"),
    "facts": (
        ("inventory",),
        {"edits": {"node-1": {"profile": None, "image": None, "values": {}, "facts": {"extra": "x"}}}},
        "extra",
    ),
}


@pytest.mark.parametrize(("at", "more", "why"), MORE.values(), ids=list(MORE))
def test_what_a_newer_mayu_says_beyond_this_one_is_an_error(
    tmp_path: Path, at: tuple[str, ...], more: dict[str, Any], why: str
) -> None:
    with faces(tmp_path) as face:
        face.enrol()
        told = shown(face)
    with answering(200, newer(told, at, more)) as url:
        lines = refused(tmp_path, "--against-running", url)
    assert lines[0] == f"mayu: what {url} serves is not understood here:"
    assert why in "\n".join(lines[1:-1])
    assert lines[-1].startswith("hint: it is mayu 99.0, this is ")


def test_a_server_that_is_older_or_none_or_not_there_is_told_apart(tmp_path: Path) -> None:
    folder(tmp_path)
    with answering(404, {}) as url:
        older = refused(tmp_path, "--against-running", url)
    with answering(200, []) as url:
        other = refused(tmp_path, "--against-running", url)
    gone = refused(tmp_path, "--against-running", url)
    assert "older mayu, or its boot face" in older[1]
    assert other[0].endswith("is no admin face of a mayu")
    assert "does not answer" in gone[0]
    assert gone[1] == "hint: is mayu running there? name its admin face: --against-running URL, or --context NAME"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--against", "mayu.yaml", "--against-running"),
        ("--against", "mayu.yaml", "--context", "lab"),
        ("--against", "mayu.yaml", "--token-file", "token"),
        ("--against-running", "http://127.0.0.1:1", "--context", "lab"),
        ("--against-running", "--client-key", "me.key"),
    ],
)
def test_one_thing_is_compared_with(tmp_path: Path, words: tuple[str, ...]) -> None:
    folder(tmp_path)
    assert mayu(tmp_path, "plan", "-c", "mayu.yaml", *words).returncode == 2


def test_a_server_shows_all_that_a_plan_needs_to_the_admin_alone(tmp_path: Path) -> None:
    with faces(tmp_path, tokens()) as face:
        assert [face.ask("GET", "/v1/snapshot", token=name).status_code for name in ("reader", "worker", "boss")] == [
            403,
            403,
            200,
        ]
        assert face.tell("GET", "/v1/snapshot").status_code in (403, 404)
        told = face.ask("GET", "/v1/snapshot", token="boss").json
    assert (told["config"], told["templates"]["node"]) == (CONFIG + tokens(), BUTANE)
    assert told["file"] == str(tmp_path / "mayu.yaml")
