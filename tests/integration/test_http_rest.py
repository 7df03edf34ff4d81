"""The admin face's REST interface: what it shows, what it changes, what it refuses and how it says so."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mayu_py.core.access import Role
from mayu_py.services.http import admin
from tests.integration.http_face import TOKENS, Faces, faces, tokens

Body = dict[str, Any]


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Faces]:
    with faces(tmp_path) as found:
        yield found


def patched(face: Faces, body: Body, name: str = "node-1") -> Any:
    answer = face.ask("PATCH", f"/v1/hosts/{name}", body)
    assert answer.status_code == 200, answer.text
    return answer.json


def refused(face: Faces, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str, str]:
    """Status, detail and hint of a problem document."""
    answer = face.ask(method, path, body, **more)
    assert answer.content_type == "application/problem+json", answer.text
    assert answer.json["status"] == answer.status_code
    return answer.status_code, answer.json["detail"], answer.json.get("hint", "")


def test_a_host_is_found_by_serial_name_and_uuid_and_shown_whole(face: Faces) -> None:
    origin = f"{face.desk.settings.origin.mark.file}:11"
    assert face.get("/v1/hosts/KC-1") == face.get("/v1/hosts/node-1")
    assert face.get("/v1/hosts/KC-1") == {
        "name": "node-1",
        "serial": "KC-1",
        "uuid": None,
        "macs": ["52:54:00:00:00:01"],
        "address": "127.0.0.11",
        "addresses": {},
        "profile": "node",
        "image": None,
        "installed": False,
        "state": "configured",
        "stage": None,
        "since": None,
        "origin": origin,
        "facts": {"provider_id": "", "ipmi_address": "", "cabinet": "", "os_version": "", "metadata": {}, "etcd_token": ""},
        "values": {},
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["node-1", "node-2"]),
        ("?profile=disk", ["node-2"]),
        ("?tag=compute", ["node-1"]),
        ("?state=configured&profile=node", ["node-1"]),
        ("?state=running", []),
    ],
)
def test_hosts_are_selected_by_state_profile_and_tag(face: Faces, query: str, names: list[str]) -> None:
    assert [host["name"] for host in face.get(f"/v1/hosts{query}")] == names


def test_a_patch_changes_what_it_names_and_null_takes_away(face: Faces) -> None:
    body: Body = {"facts": {"cabinet": "3"}, "metadata": {"rack": "a", "row": "1"}, "values": {"word": "new"}, "image": "new"}
    patched(face, body)
    host = patched(face, {"facts": {"cabinet": None}, "metadata": {"row": None}, "values": {"word": None}, "image": None})
    assert (host["facts"]["metadata"], host["facts"]["cabinet"], host["values"], host["image"]) == ({"rack": "a"}, "", {}, None)


def test_a_change_is_what_the_host_is_served_and_who_made_it_is_written_down(face: Faces) -> None:
    patched(face, {"values": {"word": "secret"}, "facts": {"etcd_token": "abc", "cabinet": "7"}})
    config = face.get("/v1/hosts/node-1/ignition")
    assert config["storage"]["files"][0]["contents"]["source"] == "data:,secret"
    assert face.notes() == [
        ("set", {"by": "local", "etcd_token": "(secret)"}),
        ("set", {"by": "local", "cabinet": "7"}),
        ("override", {"by": "local", "word": "(set)"}),
    ]


def test_a_patch_is_carried_out_whole_or_not_at_all(face: Faces) -> None:
    before = face.get("/v1/hosts/node-1")
    status, why, hint = refused(face, "PATCH", "/v1/hosts/node-1", {"facts": {"cabinet": "3"}, "image": "nwe"})
    assert (status, why, hint) == (409, "there is no image 'nwe'", "images: new, os")
    assert (face.get("/v1/hosts/node-1"), face.notes()) == (before, [])


def test_a_change_that_would_break_the_hosts_config_is_refused(face: Faces) -> None:
    answer = face.ask("PATCH", "/v1/hosts/node-1", {"values": {"word": {"a": 1}}})
    assert answer.status_code == 422
    assert "expected a string" in answer.json["errors"][0]
    assert face.get("/v1/hosts/node-1")["values"] == {}


def test_a_patch_with_if_match_changes_only_what_was_seen(face: Faces) -> None:
    seen = face.ask("GET", "/v1/hosts/node-1").headers["ETag"]
    first = face.ask("PATCH", "/v1/hosts/node-1", {"facts": {"cabinet": "1"}}, headers={"If-Match": seen})
    assert first.status_code == 200
    again = face.ask("PATCH", "/v1/hosts/node-1", {"facts": {"cabinet": "2"}}, headers={"If-Match": seen})
    assert (again.status_code, again.json["detail"]) == (412, "node-1 has changed meanwhile")
    third = face.ask("PATCH", "/v1/hosts/node-1", {"facts": {"cabinet": "2"}}, headers={"If-Match": first.headers["ETag"]})
    assert third.json["facts"]["cabinet"] == "2"


def test_an_enrolled_host_is_pinned_and_forgotten_and_a_named_one_is_not(face: Faces) -> None:
    name = face.enrol().name
    assert patched(face, {"profile": "disk"}, name)["profile"] == "disk"
    assert face.ask("DELETE", f"/v1/hosts/{name}").status_code == 204
    assert refused(face, "GET", f"/v1/hosts/{name}")[0] == 404
    assert refused(face, "PATCH", "/v1/hosts/node-1", {"profile": "disk"})[0] == 409
    assert refused(face, "DELETE", "/v1/hosts/node-1")[2] == "take it out of the config file"


def test_states_move_by_the_state_machine_only(face: Faces) -> None:
    status, why, hint = refused(face, "POST", "/v1/hosts/node-2/state", {"state": "running"})
    assert (status, why) == (409, "a host that is configured cannot become running")
    assert hint == "it can become failed, installing"
    assert face.notes() == []
    for state in ("installing", "running"):
        assert face.ask("POST", "/v1/hosts/node-2/state", {"state": state, "os_version": "12"}).json["state"] == state
    host = face.get("/v1/hosts/node-2")
    assert (host["installed"], host["facts"]["os_version"]) == (True, "12")
    assert face.ask("POST", "/v1/hosts/node-2/reinstall").json["installed"] is False
    assert [kind for kind, _ in face.notes()] == ["state", "set-state", "state", "set-state", "reinstall"]


def test_history_is_read_in_pages_and_of_one_host(face: Faces) -> None:
    for name in ("node-1", "node-2", "node-1"):
        patched(face, {"facts": {"cabinet": name}}, name)
    assert [event["id"] for event in face.get("/v1/events?limit=2")] == [1, 2]
    assert [event["id"] for event in face.get("/v1/events?after=2")] == [3]
    assert [event["id"] for event in face.get("/v1/hosts/KC-1/history?after=1")] == [3]


def test_networks_tell_whose_their_addresses_are(face: Faces) -> None:
    face.enrol()
    (network,) = face.get("/v1/networks")
    assert network["used"] == {"127.0.0.11": "node-1", "127.0.0.12": "node-2", "127.0.1.1": "127-0-1-1"}
    assert network["free"] == 8


def test_not_ready_is_503(face: Faces) -> None:
    answer = face.ask("GET", "/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/v1/hosts?colour=red", {}, 400),
        ("GET", "/v1/hosts?state=flying", {}, 400),
        ("GET", "/v1/hosts?state=running&state=failed", {}, 400),
        ("GET", "/v1/events?after=-1", {}, 400),
        ("GET", "/v1/events?after=\u0661", {}, 400),
        ("GET", "/v1/events?limit=0", {}, 400),
        ("GET", "/v1/events?limit=1001", {}, 400),
        ("PATCH", "/v1/hosts/node-1", {"data": "{}", "content_type": "text/plain"}, 415),
        ("PATCH", "/v1/hosts/node-1", {"data": "{", "content_type": "application/json"}, 400),
        ("PATCH", "/v1/hosts/node-1", {"data": "[" * 60_000, "content_type": "application/json"}, 400),
        ("PATCH", "/v1/hosts/node-1", {"data": '{"values": {"a": NaN}}', "content_type": "application/json"}, 400),
        ("PATCH", "/v1/hosts/node-1", {"data": "9" * 5000, "content_type": "application/json"}, 400),
        ("PATCH", "/v1/hosts/node-1", {"data": b"\xff", "content_type": "application/json"}, 400),
        ("PATCH", "/v1/hosts/nobody", {"json": {}}, 404),
        ("POST", "/v1/hosts", {"json": {}}, 405),
        ("OPTIONS", "/v1/hosts", {}, 405),
        ("GET", "/v2/hosts", {}, 404),
    ],
)
def test_what_makes_no_sense_is_a_problem_document(face: Faces, method: str, path: str, more: Body, status: int) -> None:
    assert refused(face, method, path, **more)[0] == status


def test_lone_surrogates_are_kept_as_they_came(face: Faces) -> None:
    answer = face.ask("PATCH", "/v1/hosts/node-1", data='{"metadata": {"a": "\\ud800"}}', content_type="application/json")
    assert answer.status_code == 200
    assert face.get("/v1/hosts/node-1")["facts"]["metadata"] == {"a": "\ud800"}


def test_every_route_is_in_the_table_and_every_role_gets_what_the_table_says(tmp_path: Path) -> None:
    with faces(tmp_path, tokens()) as face:
        routes = {
            (rule.rule, method) for rule in face.admin.url_map.iter_rules() for method in (rule.methods or set()) - {"HEAD"}
        }
        assert routes == {(endpoint.path, endpoint.method) for endpoint in admin.ENDPOINTS}
        for endpoint in admin.ENDPOINTS:
            path = re.sub(r"<.*?>", "nobody", endpoint.path)
            for name, role in TOKENS.items():
                status = face.ask(endpoint.method, path, token=name).status_code
                may = endpoint.role is None or Role(role).includes(endpoint.role)
                assert (status not in (401, 403)) == may, (endpoint.method, path, role, status)
            for nobody in (face.ask(endpoint.method, path), face.ask(endpoint.method, path, token="stranger")):
                assert (nobody.status_code == 401) == (endpoint.role is not None)
                assert ("WWW-Authenticate" in nobody.headers) == (endpoint.role is not None)


def test_secrets_are_for_operators(tmp_path: Path) -> None:
    with faces(tmp_path, tokens()) as face:
        body = {"facts": {"etcd_token": "hush"}, "values": {"word": "hush"}}
        assert face.ask("PATCH", "/v1/hosts/node-1", body, token="worker").status_code == 200
        for path in ("/v1/hosts", "/v1/hosts/node-1", "/v1/events", "/admin/hosts", "/metrics", "/v1/hosts/node-1/history"):
            answer = face.ask("GET", path, token="reader")
            assert answer.status_code == 200
            assert "hush" not in answer.text, path
        assert "hush" in face.ask("GET", "/v1/hosts/node-1", token="worker").text
        assert face.ask("GET", "/v1/hosts/node-1/ignition", token="reader").status_code == 403
        assert face.ask("GET", "/v1/events", token="reader").json[0]["detail"]["by"] == "token worker"


def test_the_boot_face_shows_no_secret_and_nothing_at_all_once_somebody_has_a_token(tmp_path: Path) -> None:
    with faces(tmp_path) as face:
        patched(face, {"facts": {"etcd_token": "hush"}, "values": {"word": "hush"}})
        for path in ("/v1/hosts", "/v1/hosts/node-1", "/v1/events", "/v1/counters", "/v1/workers"):
            answer = face.tell("GET", path)
            assert answer.status_code == 200
            assert "hush" not in answer.text
            assert face.tell("GET", path, local=False).status_code == 403
        assert face.tell("GET", "/v1/hosts/node-1/ignition").status_code == 404
        assert face.tell("PATCH", "/v1/hosts/node-1", json={}).status_code == 405
    (tmp_path / "more").mkdir()
    with faces(tmp_path / "more", tokens()) as face:
        answer = face.tell("GET", "/v1/hosts")
        assert (answer.status_code, answer.json["hint"]) == (403, "ask port 4080")
