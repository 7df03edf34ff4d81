"""Both Mayu generations' paths: what their clients sent is carried out, what is gone says what is used instead."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mayu_py.services.http import admin
from mayu_py.store import ReloadOutcome
from tests.integration.http_face import Faces, faces


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Faces]:
    with faces(tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    ("verb", "body", "fact", "value"),
    [
        ("set_provider_id", {"ProviderId": "p-1", "State": "unknown"}, "provider_id", "p-1"),
        ("set_ipmi_addr", {"IPMIAddr": "10.0.0.9"}, "ipmi_address", "10.0.0.9"),
        ("set_etcd_cluster_token", {"EtcdClusterToken": "t"}, "etcd_token", "t"),
        ("set_cabinet", {"Cabinet": 7}, "cabinet", "7"),
        ("set_metadata", {"FleetMetadata": ["rack=a", "role-worker"]}, "metadata", {"rack": "a", "role-worker": "true"}),
    ],
)
def test_facts_are_noted(face: Faces, verb: str, body: Any, fact: str, value: Any) -> None:
    answer = face.ask("PUT", f"/admin/host/kc-1/{verb}", body)
    assert answer.status_code == 202, answer.text
    assert face.get("/v1/hosts/KC-1")["facts"][fact] == value


def test_a_host_lives_through_the_old_states(face: Faces) -> None:
    def put(verb: str, body: Any) -> int:
        status: int = face.ask("PUT", f"/admin/host/KC-2/{verb}", body).status_code
        return status

    assert put("set_state", {"State": "running"}) == 409
    assert put("set_state", {"State": "installing"}) == 202
    assert put("boot_complete", {"FlatcarVersion": "3510"}) == 202
    host = face.get("/v1/hosts/KC-2")
    assert (host["state"], host["installed"], host["facts"]["os_version"]) == ("running", True, "3510")
    assert put("mark_fresh", {}) == 202
    host = face.get("/v1/hosts/KC-2")
    assert (host["state"], host["installed"], host["stage"]) == ("configured", False, None)
    assert put("set_installed", {}) == 202
    assert face.get("/v1/hosts/KC-2")["installed"] is True
    assert face.ask("PUT", "/admin/host/KC-1/set_installed", {}).status_code == 409


def test_an_override_lies_over_the_config(face: Faces) -> None:
    assert face.ask("PUT", "/admin/host/KC-1/override", {"Overrides": {"word": "loud"}}).status_code == 202
    assert face.get("/v1/hosts/KC-1")["values"] == {"word": "loud"}


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("override", {}),
        ("override", {"Overrides": []}),
        ("set_state", {"State": "flying"}),
        ("set_metadata", {"FleetMetadata": 1}),
    ],
)
def test_old_nonsense_is_400(face: Faces, verb: str, body: Any) -> None:
    assert face.ask("PUT", f"/admin/host/KC-1/{verb}", body).status_code == 400


def test_an_unknown_host_is_400_as_it_was(face: Faces) -> None:
    answer = face.ask("PUT", "/admin/host/nobody/set_cabinet", {"Cabinet": 1})
    assert (answer.status_code, answer.json["detail"]) == (400, "host doesn't exist")


def test_hosts_are_listed_as_mayus_clients_read_them(face: Faces) -> None:
    assert face.get("/admin/hosts")[0] == {
        "Enabled": True,
        "Name": "node-1",
        "Serial": "KC-1",
        "MacAddresses": ["52:54:00:00:00:01"],
        "InternalAddr": "127.0.0.11",
        "Hostname": "node-1",
        "Profile": "node",
        "State": "configured",
    }


def test_the_config_is_shown_and_a_new_one_goes_to_whoever_can_run_it(face: Faces) -> None:
    assert face.ask("GET", "/admin/mayu_config").data == Path(face.desk.settings.origin.mark.file).read_bytes()
    assert face.ask("PUT", "/admin/mayu_config", data="networks: []").status_code == 501
    given: list[tuple[str, str]] = []
    face.admin.extensions[admin.RELOAD] = lambda text, by: given.append((text, by))
    assert face.ask("PUT", "/admin/mayu_config", data="networks: []").status_code == 202
    assert given == [("networks: []", "local")]


def test_the_config_is_read_again_when_asked(face: Faces) -> None:
    assert face.ask("POST", "/v1/reload").status_code == 501
    outcomes = [ReloadOutcome(True, 2, (), {"hosts": 1}), ReloadOutcome(False, 2, ("a.yaml:1: error: x",))]
    face.admin.extensions[admin.REREAD] = lambda by: outcomes.pop(0)
    assert face.ask("POST", "/v1/reload").json == {"generation": 2, "changes": {"hosts": 1}}
    refused = face.ask("POST", "/v1/reload")
    assert (refused.status_code, refused.json["detail"]) == (400, "a.yaml:1: error: x")


def test_what_the_admin_face_lost_says_so(face: Faces) -> None:
    answer = face.ask("POST", "/reconfigure")
    assert (answer.status_code, answer.json["hint"]) == (410, "PUT /admin/mayu_config")


@pytest.mark.parametrize(("method", "path"), [("GET", "/etcd"), ("PUT", "/etcd/new?size=5"), ("DELETE", "/etcd/a%C3%A4/c")])
def test_etcds_discovery_is_on_the_boot_face(face: Faces, method: str, path: str) -> None:
    answer = face.ask(method, path)
    assert (answer.status_code, answer.headers["Location"]) == (307, f"http://127.0.0.1:4081{path}")


@pytest.mark.parametrize(
    ("method", "path", "instead"),
    [
        ("GET", "/first-stage-script/KC-1", "/script"),
        ("GET", "/hostinfo-helper", "/script"),
        ("GET", "/yochu/bin/docker", "Butane"),
        ("POST", "/final-cloud-config.yaml", "/ignition"),
    ],
)
def test_what_the_boot_face_lost_says_what_replaced_it(face: Faces, method: str, path: str, instead: str) -> None:
    answer = face.tell(method, path)
    assert answer.status_code == 410
    assert instead in answer.text


def test_the_old_entry_script_is_the_new_one(face: Faces) -> None:
    assert "chain --replace http://127.0.0.1:4081/script?serial=" in face.tell("GET", "/ipxebootscript").text


@pytest.mark.parametrize(
    ("path", "source", "to"),
    [
        ("/images/KC-1/vmlinuz", "127.0.0.99", "/images/os/kernel"),
        ("/images/KC-1/initrd.cpio.gz", "127.0.0.99", "/images/os/initrd"),
        ("/images/vmlinuz", "127.0.0.11", "/images/os/kernel"),
    ],
)
def test_old_image_paths_lead_to_the_hosts_image(face: Faces, path: str, source: str, to: str) -> None:
    answer = face.tell("GET", path, source)
    assert (answer.status_code, answer.headers["Location"]) == (307, to)


def test_an_image_for_an_unknown_host_is_not_ready_and_an_unknown_file_is_not_there(face: Faces) -> None:
    assert face.tell("GET", "/images/KC-7/vmlinuz").status_code == 503
    assert face.tell("GET", "/images/vmlinuz", "127.0.0.99").status_code == 503
    assert face.tell("GET", "/images/KC-1/nothing").status_code == 404


def test_a_machine_that_posts_what_it_is_finds_its_config(face: Faces) -> None:
    answer = face.tell("POST", "/final-ignition-config.json", json={"Serial": "KC 1&x"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ignition?serial=KC+1%26x")
    assert face.tell("POST", "/final-ignition-config.json", data="{").status_code == 400


def test_a_host_still_reports_for_itself_under_the_old_path(face: Faces) -> None:
    face.ask("POST", "/v1/hosts/KC-1/state", {"state": "installing"})
    assert face.tell("PUT", "/admin/host/KC-1/boot_complete", "127.0.0.12", json={}).status_code == 403
    told = face.tell("PUT", "/admin/host/KC-1/boot_complete", "127.0.0.11", json={"FlatcarVersion": "3510"})
    assert told.status_code == 202
    host = face.get("/v1/hosts/KC-1")
    assert (host["state"], host["facts"]["os_version"]) == ("running", "3510")


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/", 200, "this is the boot face of mayu; iPXE starts at /boot.ipxe"),
        ("GET", "/%3Cb%3E", 404, "there is nothing at /<b>"),
        ("GET", "/host/KC-1/boot_complete", 405, "/host/KC-1/boot_complete has no such method; it has OPTIONS, PUT"),
        ("PUT", "/host/KC-1/stage/%3Cb%3E", 404, "a host cannot report the stage '<b>'"),
    ],
)
def test_what_the_boot_face_says_is_text_and_no_page(face: Faces, method: str, path: str, status: int, text: str) -> None:
    answer = face.tell(method, path)
    assert (answer.status_code, answer.mimetype, answer.text) == (status, "text/plain", f"{text}\n")


def test_what_is_not_there_is_named(face: Faces) -> None:
    assert face.ask("GET", "/v1/nothing").json["detail"] == "there is nothing at /v1/nothing"
    assert face.ask("PUT", "/v1/hosts").json["detail"] == "/v1/hosts has no such method; it has GET, HEAD"
