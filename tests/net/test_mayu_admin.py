"""The admin face on a rack: who reaches it from where, over what, and what a real `mayu serve` does with it."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.net.lan import SERVER, Config, Lan, StartMayu

PORT = 4080
TOKEN = "a token for this test"


def ask(lan: Lan, where: str, url: str, *argv: str) -> tuple[int, str]:
    """curl's status (0: no answer) and body, from a namespace."""
    ran = lan.run(where, "curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", *argv, url, check=False)
    body, _, status = ran.stdout.rpartition("\n")
    return int(status), body


@pytest.fixture
def ca(config: Config) -> trustme.CA:
    """An authority; the config has a certificate of it, and lets in a token and a client certificate."""
    made = trustme.CA()
    folder = config.folder
    made.cert_pem.write_to_path(folder / "ca.pem")
    for name, certificate in {"admin": made.issue_cert(SERVER), "ann": made.issue_cert(common_name="ann")}.items():
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
    config.data["admin"] = {
        "tls": {"certificate": "admin.crt", "key": "admin.key", "client_ca": "ca.pem", "certificates": {"ann": "read"}},
        "tokens": [{"name": "ci", "role": "operate", "sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}],
    }
    return made


def test_without_tls_it_is_on_the_loopback_and_needs_no_credentials(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    start_mayu()
    client = lan.client(address="10.78.0.7")
    assert ask(lan, client, f"http://{SERVER}:{PORT}/healthz")[0] == 0
    status, hosts = ask(lan, lan.server, f"http://127.0.0.1:{PORT}/v1/hosts?state=configured")
    assert (status, [host["name"] for host in json.loads(hosts)]) == (200, ["node-5"])
    patch = ("-X", "PATCH", "--json", '{"facts": {"cabinet": "3"}}')
    assert ask(lan, lan.server, f"http://127.0.0.1:{PORT}/v1/hosts/node-5", *patch)[0] == 200
    assert [event["detail"] for event in lan.get("/v1/events") if event["kind"] == "set"] == [{"by": "local", "cabinet": "3"}]


def test_with_tls_tokens_and_certificates_come_in_from_everywhere(
    lan: Lan, config: Config, start_mayu: StartMayu, ca: trustme.CA
) -> None:
    config.host(5)
    start_mayu()
    client, folder = lan.client(address="10.78.0.7"), config.folder
    url, trust = f"https://{SERVER}:{PORT}/v1/hosts/node-5", ("--cacert", f"{folder}/ca.pem")
    token = ("-H", f"Authorization: Bearer {TOKEN}")
    certificate = ("--cert", f"{folder}/ann.crt", "--key", f"{folder}/ann.key")
    patch = ("-X", "PATCH", "--json", '{"metadata": {"rack": "a"}}')
    assert ask(lan, client, url, *trust)[0] == 401
    assert ask(lan, lan.server, url, *trust)[0] == 401
    assert ask(lan, client, url, *trust, *certificate)[0] == 200
    assert ask(lan, client, url, *trust, *certificate, *patch)[0] == 403
    assert ask(lan, client, url, *trust, *token, *patch)[0] == 200
    assert ask(lan, client, f"http://{SERVER}:4081/v1/hosts")[0] == 403
    assert ask(lan, lan.server, f"http://{SERVER}:4081/v1/hosts", *token)[0] == 403
    events = json.loads(ask(lan, client, f"https://{SERVER}:{PORT}/v1/events", *trust, *token)[1])
    assert [event["detail"] for event in events if event["kind"] == "label"] == [{"by": "token ci", "rack": "a"}]


def test_prometheus_sees_hosts_addresses_and_workers(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    start_mayu()
    status, text = ask(lan, lan.server, f"http://127.0.0.1:{PORT}/metrics")
    assert status == 200
    assert 'mayu_hosts{state="configured",profile="node"} 1' in text
    assert 'mayu_network_addresses{network="rack",use="free"} 200' in text
    assert set(re.findall(r'mayu_worker_up{worker="(.*?)"} 1', text)) == {"admin-1", "dhcp", "http-1", "http-2", "tftp"}


def test_events_are_followed_while_a_host_boots(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    start_mayu()
    argv = ["ip", "netns", "exec", lan.server, "curl", "-sSN", "-H", "Accept: text/event-stream"]
    with subprocess.Popen([*argv, f"http://127.0.0.1:{PORT}/v1/events"], stdout=subprocess.PIPE, text=True) as following:
        client = lan.client(address="10.78.0.7")
        assert ask(lan, client, f"http://{SERVER}:4081/ignition?serial=KC-0005")[0] == 200
        assert following.stdout is not None
        seen: list[Any] = []
        for line in following.stdout:
            if line.startswith("data: "):
                seen.append(json.loads(line.removeprefix("data: ")))
            if seen and seen[-1]["kind"] == "state":
                break
        following.terminate()
    assert seen[-1]["detail"] == {"from": "configured", "to": "installing"}


def test_a_taken_port_is_named(lan: Lan, config: Config, start_mayu: StartMayu, tmp_path: Path) -> None:
    config.data["admin"] = {"port": 4082}
    script = "import socket; s = socket.create_server(('127.0.0.1', 4082)); print('taken', flush=True); s.accept()"
    with subprocess.Popen(["ip", "netns", "exec", lan.server, "python3", "-c", script], stdout=subprocess.PIPE) as taker:
        assert taker.stdout is not None
        assert taker.stdout.readline() == b"taken\n"
        with pytest.raises(AssertionError, match=r"cannot serve http on 127\.0\.0\.1:4082: Address already in use"):
            start_mayu()
        taker.terminate()


def test_a_new_config_takes_the_place_of_the_old_and_a_wrong_one_not(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    mayu = start_mayu()
    url = f"http://127.0.0.1:{PORT}"
    before = mayu.config.read_text()
    wrong = config.folder / "wrong.yaml"
    wrong.write_text(before.replace("subnet:", "subnte:"))
    status, problem = ask(lan, lan.server, f"{url}/admin/mayu_config", "-X", "PUT", "--data-binary", f"@{wrong}")
    assert (status, mayu.config.read_text()) == (400, before)
    assert re.search(r"mayu\.yaml:\d+: error: .*subnte", json.loads(problem)["detail"])
    config.host(6)
    new = config.folder / "new.yaml"
    config.write().rename(new)
    mayu.config.write_text(before)
    assert ask(lan, lan.server, f"{url}/admin/mayu_config", "-X", "PUT", "--data-binary", f"@{new}") == (202, "accepted\n")
    assert mayu.config.read_text() == new.read_text()
    assert [host["name"] for host in json.loads(ask(lan, lan.server, f"{url}/v1/hosts")[1])] == ["node-5", "node-6"]
    assert [event["detail"]["by"] for event in lan.get("/v1/events") if event["kind"] == "config"] == ["local"]
    assert [path.name for path in config.folder.glob(".*")] == []
