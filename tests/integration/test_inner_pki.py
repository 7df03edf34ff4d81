"""Inner clusters certified by a real OpenBao: machines get their own and nothing else, and nothing is left of a cluster."""

import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import hvac
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hvac.exceptions import Forbidden, InvalidRequest
from requests import ConnectionError as Disconnected

from kubeception_sim.agents.issue import __main__ as agent
from kubeception_sim.agents.issue.openbao import Away, OpenBao
from kubeception_sim.agents.issue.record import Record
from kubeception_sim.agents.issue.step import Place, issue, renew
from kubeception_sim.agents.issue.wanted import Wanted
from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.allocation import Vm, machines, names
from kubeception_sim.inner.certificates import ADMIN_HOURS, ClusterPki, admin_request, requests
from kubeception_sim.inner.config import RoleValues
from kubeception_sim.inner.doors import Issuer
from kubeception_sim.inner.resource import Cluster, Pool, Role, Spec
from kubeception_sim.lab import Lab
from kubeception_sim.pki.access import Access
from kubeception_sim.pki.bao import parameters
from kubeception_sim.pki.server import Server
from kubeception_sim.pki.tenants import NAMESPACE, WRAP_SECONDS, admit_controller

pytestmark = pytest.mark.timeout(180)

DOMAIN = "k8s.example"


@dataclass(frozen=True)
class Site:
    """A server, root in the clusters' namespace, a controller, and what it said of its progress."""

    server: Server
    root: Access
    controller: Access
    pki: ClusterPki
    said: list[str]


@dataclass(frozen=True)
class Known:
    """A cluster with its machines, and what the controller knows of it."""

    cluster: Cluster
    vms: Mapping[str, Vm]
    issuer: Issuer

    @property
    def name(self) -> str:
        return self.cluster.name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # An address of its own, so that its ports are free: all of 127.0.0.0/8 is this computer.
    address = IPv4Address(f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}")
    with Lab.create(tmp_path_factory.mktemp("inner")) as lab, Server.start(lab, "", address, lambda what, done: None) as server:
        controller = admit_controller(server.access)
        said: list[str] = []
        pki = ClusterPki(controller, DOMAIN, lambda what, done: said.append(what))
        yield Site(server, replace(server.access, namespace=NAMESPACE), controller, pki, said)


@pytest.fixture
def known(site: Site) -> Iterator[Known]:
    found = ensured(site, f"c{secrets.token_hex(3)}")
    yield found
    site.pki.drop(found.name)


def ensured(site: Site, name: str, workers: int = 1) -> Known:
    cluster = Cluster(name, Spec(pools=(Pool(replicas=workers),)))
    vms = machines(cluster, {each: number for number, each in enumerate(names(cluster), 1)})
    return Known(cluster, {vm.name: vm for vm in vms}, site.pki.ensure(cluster, vms))


class Pod:
    """The files of a machine's pod, below a folder instead of /."""

    def __init__(self, root: Path, site: Site, known: Known, vm: str, token: str | None = None) -> None:
        self.root, self.vm = root / f"{known.name}-{vm}", known.vms[vm]
        for folder in ("run/token", "run/config", "etc/vm"):
            (self.root / folder).mkdir(parents=True)
        values = RoleValues("kubeception.local/etcd:3.4.23")(known.cluster, tuple(known.vms.values()), self.vm)
        self.write("etc/vm/values.json", json.dumps(values))
        self.write("etc/vm/wanted.json", json.dumps(known.issuer.wanted[vm]))
        self.write("etc/vm/ca.crt", known.issuer.ca)
        self.wrapped = token or site.pki.token(known.cluster, self.vm).token
        self.write("run/token/wrapped", self.wrapped)
        self.environment = {"BAO_ADDR": known.issuer.url, "BAO_CACERT": str(self.root / "etc/vm/ca.crt")}

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)

    def start(self) -> int:
        return agent.main(self.environment, root=self.root, patience=5)

    def made(self) -> set[str]:
        return {path.name for path in (self.root / "run/config").iterdir()}

    def files(self) -> dict[str, str]:
        config = json.loads((self.root / "run/config/config.ign").read_text())
        return {each["path"]: str(each.get("contents", {}).get("source", "")) for each in config["storage"]["files"]}

    def place(self) -> Place:
        return Place(self.root / "run/token/wrapped", self.root / "etc/vm/values.json", self.root / "run/config")

    def wanted(self) -> Wanted:
        return Wanted.read((self.root / "etc/vm/wanted.json").read_text())


def opened(site: Site, known: Known, vm: str) -> str:
    """The token of a machine, out of its wrapper."""
    wrapped = site.pki.token(known.cluster, known.vms[vm]).token
    return str(site.root.ask(lambda client: client.sys.unwrap(), wrapped)["auth"]["client_token"])


def refused(access: Access, token: str, method: str, path: str, **body: Any) -> bool:
    try:
        access.ask(lambda client: client.adapter.request(method, f"/v1/{path}", json=body or None), token)
    except (Forbidden, InvalidRequest):
        return True
    return False


def entry(site: Site, path: str) -> Any:
    return site.root.ask(lambda client: client.read(path))["data"]


def listing(site: Site) -> dict[str, Any]:
    """Everything that there is in the namespace of clusters; of engines, by their own ids."""

    def look(client: hvac.Client) -> dict[str, Any]:
        lists = ("sys/policies/acl", "auth/token/roles", "auth/token/accessors", "sys/leases/lookup/auth/token/create")
        found = {path: sorted((client.list(path) or {"data": {"keys": []}})["data"]["keys"]) for path in lists}
        return found | {path: each["uuid"] for path, each in client.sys.list_mounted_secrets_engines()["data"].items()}

    return site.root.ask(look)


def test_a_machine_gets_its_certificates_and_its_token_ends(site: Site, known: Known, tmp_path: Path) -> None:
    before = listing(site)["auth/token/accessors"]
    for name, vm in known.vms.items():
        pod = Pod(tmp_path, site, known, name)
        assert pod.start() == 0
        assert pod.made() == {"config.ign", "issued.json"}
        assert (pod.root / "run/config/config.ign").stat().st_mode & 0o777 == 0o400
        assert {"/etc/kubernetes/pki/apiserver.key", "/etc/kubernetes/pki/sa.key"} <= pod.files().keys() or vm.role is Role.WORKER
        assert ("/etc/kubernetes/pki/signer.key" in pod.files()) == (vm.role is Role.MASTER)
    assert listing(site)["auth/token/accessors"] == before


def test_a_step_that_starts_again_asks_for_nothing(site: Site, known: Known, tmp_path: Path) -> None:
    pod = Pod(tmp_path, site, known, "worker-0")
    assert pod.start() == 0
    config = (pod.root / "run/config/config.ign").read_bytes()
    pod.environment["BAO_ADDR"] = "https://127.0.0.1:1"
    assert pod.start() == 0
    assert (pod.root / "run/config/config.ign").read_bytes() == config


def test_a_token_that_somebody_else_has_had_is_an_alarm(
    site: Site, known: Known, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pod = Pod(tmp_path, site, known, "master-0")
    site.root.ask(lambda client: client.sys.unwrap(), pod.wrapped)
    assert (pod.start(), pod.made()) == (agent.STOLEN, set())
    assert "ALARM: the token was used by somebody else" in caplog.text
    assert pod.wrapped not in caplog.text


def test_a_token_in_another_wrapper_is_an_alarm(site: Site, known: Known, tmp_path: Path) -> None:
    """A thief who opens the wrapper and puts something into a new one."""
    made = site.root.ask(
        lambda client: client.write_data("sys/wrapping/wrap", data={"token": "s.anything"}, wrap_ttl=f"{WRAP_SECONDS}s")
    )
    pod = Pod(tmp_path, site, known, "master-0", token=made["wrap_info"]["token"])
    assert (pod.start(), pod.made()) == (agent.STOLEN, set())


def test_a_machine_opens_nothing_but_its_own(site: Site, known: Known) -> None:
    other = ensured(site, f"{known.name}b")
    worker, master = (known.vms[name] for name in ("worker-0", "master-0"))
    token = opened(site, known, "worker-0")
    mine = requests(known.cluster, worker, DOMAIN)["kube_proxy"]
    assert not refused(site.root, token, "post", f"{mine.mount}/issue/{mine.name}", **parameters(mine))
    assert not refused(site.root, token, "get", f"secrets-{known.name}/node")
    theirs = [*requests(known.cluster, master, DOMAIN).values(), *requests(other.cluster, other.vms["worker-0"], DOMAIN).values()]
    for request in (*theirs, admin_request(known.name)):
        assert refused(site.root, token, "post", f"{request.mount}/issue/{request.name}", **parameters(request)), request
    for bent in ({"common_name": "system:node:master-0"}, {"ttl": "87600h"}, {"alt_names": "api"}, {"uri_sans": "spiffe://x"}):
        assert refused(site.root, token, "post", f"{mine.mount}/issue/{mine.name}", **(parameters(mine) | bent)), bent
    for method, path in (
        ("get", f"secrets-{known.name}/master"),
        ("get", f"secrets-{other.name}/node"),
        ("get", f"secrets-{known.name}?list=true"),
        ("post", f"secrets-{known.name}/node"),
        ("post", f"{mine.mount}/roles/{mine.name}"),
        ("post", f"{mine.mount}/root/sign-intermediate"),
        ("post", f"{mine.mount}/sign-verbatim"),
        ("post", f"auth/token/create/vm-{known.name}"),
        ("post", "auth/token/create"),
        ("get", "sys/policies/acl?list=true"),
        ("get", "sys/mounts"),
    ):
        assert refused(site.root, token, method, path), path
    site.pki.drop(other.name)


def test_masters_share_what_workers_do_not_see(site: Site, known: Known) -> None:
    token = opened(site, known, "master-0")
    assert not refused(site.root, token, "get", f"secrets-{known.name}/master")
    assert set(entry(site, f"secrets-{known.name}/node")) == {"ca", "bootstrap_token"}


def test_the_controllers_token_is_confined(site: Site, known: Known) -> None:
    def no(method: str, path: str, **body: Any) -> bool:
        return refused(site.controller, site.controller.token, method, path, **body)

    for entry_of in ("node", "master"):
        assert no("get", f"secrets-{known.name}/{entry_of}")
        assert no("post", f"secrets-{known.name}/{entry_of}", x="y")
        assert no("delete", f"secrets-{known.name}/{entry_of}")
    assert no("post", "sys/mounts/other", type="kv")
    assert no("put", "sys/policies/acl/controller", policy='path "*" { capabilities = ["sudo"] }')
    assert no("post", "auth/token/create", policies=["controller"])
    assert no("post", f"auth/token/create/vm-{known.name}", policies=["controller"])
    assert no("get", "auth/token/accessors?list=true")
    assert no("post", "sys/namespaces/more")


def test_not_even_a_stolen_controllers_token_leaves_the_namespace(site: Site, known: Known) -> None:
    """It may write a policy for everything, and make a token with it: everything is what is in the namespace."""
    text = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'
    name = f"vm-{known.name}.thief"

    def rise(client: hvac.Client) -> str:
        client.write_data(f"sys/policies/acl/{name}", data={"policy": text})
        return str(client.write_data(f"auth/token/create/vm-{known.name}", data={"policies": [name]})["auth"]["client_token"])

    token = site.controller.ask(rise)
    assert not refused(site.root, token, "get", "sys/mounts")
    outside = site.server.access
    site.server.ask(lambda client: client.sys.enable_secrets_engine("kv", path=f"g8s-{known.name}"))
    for path in ("sys/mounts", f"g8s-{known.name}/x", "sys/policies/acl/root", "sys/namespaces?list=true"):
        assert refused(outside, token, "get", path), path
    site.server.ask(lambda client: client.sys.disable_secrets_engine(f"g8s-{known.name}"))
    # The next look at the cluster finds who is no machine of it.
    site.pki.ensure(known.cluster, tuple(known.vms.values()))
    assert refused(site.root, token, "get", "sys/mounts")


def test_asked_again_nothing_changes(site: Site, known: Known) -> None:
    before = (listing(site), entry(site, f"secrets-{known.name}/master"), known.issuer)
    site.said.clear()
    again = site.pki.ensure(known.cluster, tuple(known.vms.values()))
    assert (listing(site), entry(site, f"secrets-{known.name}/master"), again) == before
    assert site.said == []


def test_what_was_changed_by_others_is_put_right(site: Site, known: Known) -> None:
    role, policy = f"pki-{known.name}/roles/worker-0.kube-proxy", f"sys/policies/acl/vm-{known.name}.worker-0"
    before = entry(site, policy)["policy"]
    site.root.ask(lambda client: client.delete(role))
    site.root.ask(lambda client: client.write_data(policy, data={"policy": 'path "*" { capabilities = ["read"] }'}))
    site.pki.ensure(known.cluster, tuple(known.vms.values()))
    assert entry(site, role)["client_flag"] is True
    assert entry(site, policy)["policy"] == before


def test_a_machine_that_is_gone_opens_nothing_and_the_others_stay(site: Site) -> None:
    known = ensured(site, f"c{secrets.token_hex(3)}", workers=2)
    kept = entry(site, f"secrets-{known.name}/master")
    token = opened(site, known, "worker-1")
    smaller = ensured(site, known.name, workers=1)
    assert refused(site.root, token, "get", f"secrets-{known.name}/node")
    assert f"vm-{known.name}.worker-1" not in listing(site)["sys/policies/acl"]
    assert entry(site, f"secrets-{known.name}/master") == kept
    assert not refused(site.root, opened(site, smaller, "worker-0"), "get", f"secrets-{known.name}/node")
    site.pki.drop(known.name)


def test_nothing_is_left_of_a_cluster_and_all_of_another(site: Site, known: Known) -> None:
    before = listing(site)
    # Names that begin with the other's: what is removed by its beginning must not be theirs.
    doomed = ensured(site, known.name[:-1])
    site.pki.token(doomed.cluster, doomed.vms["worker-0"])
    token, neighbours = opened(site, doomed, "master-0"), opened(site, known, "master-0")
    site.pki.drop(doomed.name)
    site.pki.drop(doomed.name)
    assert refused(site.root, token, "get", "auth/token/lookup-self")
    assert not refused(site.root, neighbours, "get", f"secrets-{known.name}/master")
    site.root.ask(lambda client: client.auth.token.revoke_self(), neighbours)
    assert listing(site) == before


def test_a_cluster_whose_authority_was_lost_is_not_given_another(site: Site, known: Known) -> None:
    site.root.ask(lambda client: client.sys.disable_secrets_engine(f"pki-{known.name}-etcd"))
    with pytest.raises(HarnessError, match=f"pki-{known.name}-etcd of {known.name} is gone"):
        site.pki.ensure(known.cluster, tuple(known.vms.values()))


def test_a_controller_that_is_killed_at_any_request_goes_on_at_its_next_look(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    left = 0
    request = hvac.adapters.RawAdapter.request

    def counted(self: Any, *arguments: Any, **more: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Disconnected("killed")
        return request(self, *arguments, **more)

    monkeypatch.setattr(hvac.adapters.RawAdapter, "request", counted)
    for at in range(1, 200):
        name, left = f"k{secrets.token_hex(3)}", at
        try:
            ensured(site, name)
            is_whole = True
        except HarnessError:
            left, is_whole = 10_000, False
            ensured(site, name)
        left = 10_000
        node, master = entry(site, f"secrets-{name}/node"), entry(site, f"secrets-{name}/master")
        assert node["ca"].endswith(master["signer"]["cert"])
        assert node["ca"].startswith(x509_pem(site, f"pki-{name}"))
        site.pki.drop(name)
        if is_whole:
            break
    assert 20 < at < 199


def x509_pem(site: Site, mount: str) -> str:
    return str(entry(site, f"{mount}/cert/ca")["certificate"])


def test_clusters_are_made_at_the_same_time(site: Site) -> None:
    wanted = [f"p{secrets.token_hex(3)}" for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda name: ensured(site, name), wanted))
        roots = {x509_pem(site, f"pki-{each.name}") for each in found}
        list(threads.map(site.pki.drop, wanted))
    assert len(roots) == len(wanted)


def test_an_administrators_certificate_ends_within_hours(site: Site, known: Known) -> None:
    made = site.pki.administrator(known.name)
    certificate, root = (x509.load_pem_x509_certificate(text.encode()) for text in (made.cert, made.ca))
    certificate.verify_directly_issued_by(root)
    assert "O=system:masters" in certificate.subject.rfc4514_string()
    assert certificate.not_valid_after_utc - datetime.now(UTC) <= timedelta(hours=ADMIN_HOURS)
    key = serialization.load_pem_private_key(made.key.encode(), None).public_key()
    assert key == certificate.public_key()


def test_of_a_cluster_that_is_not_there_there_is_no_token_and_no_administrator(site: Site) -> None:
    cluster = Cluster("never")
    (vm, *_) = machines(cluster, {each: number for number, each in enumerate(names(cluster), 1)})
    with pytest.raises(HarnessError, match="never"):
        site.pki.token(cluster, vm)
    with pytest.raises(HarnessError, match="never"):
        site.pki.administrator("never")


def test_a_step_that_was_killed_goes_on_with_the_token_that_it_has(site: Site, known: Known, tmp_path: Path) -> None:
    pod = Pod(tmp_path, site, known, "worker-0")

    class Killed(BaseException):
        pass

    def killed(*_: object) -> bytes:
        raise Killed

    bao = OpenBao(known.issuer.url, Path(pod.environment["BAO_CACERT"]), NAMESPACE, patience=5)
    with pytest.raises(Killed):
        issue(pod.place(), pod.wanted(), bao, killed)
    assert pod.made() == {"token"}
    assert (pod.start(), pod.made()) == (0, {"config.ign", "issued.json"})


def test_a_kept_token_that_has_ended_gives_way_to_a_new_one(site: Site, known: Known, tmp_path: Path) -> None:
    pod = Pod(tmp_path, site, known, "worker-0")
    token = opened(site, known, "worker-0")
    pod.write("run/config/token", token)
    site.root.ask(lambda client: client.auth.token.revoke_self(), token)
    assert (pod.start(), pod.made()) == (agent.FAILED, set())
    assert (pod.start(), pod.made()) == (0, {"config.ign", "issued.json"})


def test_a_refusal_is_told_and_leaves_the_token_for_when_it_is_mended(
    site: Site, known: Known, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pod = Pod(tmp_path, site, known, "worker-0")
    site.root.ask(lambda client: client.delete(f"pki-{known.name}/roles/worker-0.kube-proxy"))
    assert (pod.start(), pod.made()) == (agent.FAILED, {"token"})
    assert f"pki-{known.name}/issue/worker-0.kube-proxy" in caplog.text
    site.pki.ensure(known.cluster, tuple(known.vms.values()))
    assert pod.start() == 0


def test_a_sealed_openbao_is_waited_for(site: Site, known: Known, tmp_path: Path) -> None:
    pod = Pod(tmp_path, site, known, "worker-0")
    keys = json.loads((site.server.ca.parent / "keys.json").read_text())
    waited: list[float] = []

    def unseal(seconds: float) -> None:
        waited.append(seconds)
        site.server.ask(lambda client: client.sys.submit_unseal_key(keys["key"]))

    bao = OpenBao(known.issuer.url, Path(pod.environment["BAO_CACERT"]), NAMESPACE, patience=60, pause=unseal)
    site.server.ask(lambda client: client.sys.seal())
    issue(pod.place(), pod.wanted(), bao, lambda role, values, pairs: b"{}")
    assert waited
    assert pod.made() == {"config.ign", "issued.json"}


def test_an_openbao_that_stays_away_is_told_with_what_it_said(site: Site, known: Known, tmp_path: Path) -> None:
    pod = Pod(tmp_path, site, known, "worker-0")
    waited: list[float] = []
    bao = OpenBao("https://127.0.0.1:1", Path(pod.environment["BAO_CACERT"]), NAMESPACE, patience=2, pause=waited.append)
    with pytest.raises(Away, match="has not answered for 2 s: ConnectionRefusedError"):
        bao.ask("GET", "sys/mounts", "x")
    assert pod.made() == set()


def test_another_server_at_openbaos_address_is_shown_nothing(site: Site, known: Known, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_text(x509_pem(site, f"pki-{known.name}"))
    with pytest.raises(Away, match="is not the OpenBao"):
        OpenBao(known.issuer.url, other, NAMESPACE, patience=60).ask("GET", "sys/mounts", "x")


def test_no_secret_is_in_any_line_of_the_log(site: Site, known: Known, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    pod = Pod(tmp_path, site, known, "master-0")
    assert pod.start() == 0
    shared = entry(site, f"secrets-{known.name}/master") | entry(site, f"secrets-{known.name}/node")
    assert "issued" in caplog.text
    for secret in (pod.wrapped, shared["bootstrap_token"], "PRIVATE KEY"):
        assert secret not in caplog.text
    assert not re.search(r"\bs\.[A-Za-z0-9]{24}", caplog.text)


def test_a_name_of_another_clusters_authority_is_refused_and_dropping_it_harms_nobody(site: Site, known: Known) -> None:
    with pytest.raises(HarnessError, match="authority of"):
        ensured(site, f"{known.name[:6]}-etcd")
    site.pki.drop(f"{known.name}-etcd")
    assert x509_pem(site, f"pki-{known.name}-etcd")


def test_an_openbao_that_does_not_answer_is_told(site: Site) -> None:
    away = ClusterPki(replace(site.controller, url="https://127.0.0.1:1"), DOMAIN, lambda what, done: None)
    with pytest.raises(HarnessError, match="does not answer"):
        away.drop("x")


def serials(pod: Pod) -> dict[str, str]:
    """What differs between two issues: the files of the config that hold certificates and keys."""
    return {path: text for path, text in pod.files().items() if path.endswith((".crt", ".key"))}


def test_a_machine_that_runs_gets_other_certificates_by_another_token(site: Site, known: Known, tmp_path: Path) -> None:
    pod = Pod(tmp_path, site, known, "worker-0")
    bao = OpenBao(known.issuer.url, Path(pod.environment["BAO_CACERT"]), NAMESPACE, patience=5)
    assert pod.start() == 0
    first, before = Record.read(pod.place().record), serials(pod)
    assert first
    assert first.rotation == ""
    assert first.until - first.made == pytest.approx(30 * 86400, abs=120)
    assert not renew(pod.place(), pod.wanted(), bao, agent._of_role), "its own token was opened once already"

    pod.write("run/token/wrapped", site.pki.token(known.cluster, known.vms["worker-0"]).token)
    pod.write("run/token/rotation", "spring")
    assert renew(pod.place(), pod.wanted(), bao, agent._of_role)
    second, after = Record.read(pod.place().record), serials(pod)
    assert second
    assert (second.rotation, second.refused) == ("spring", 0)
    assert second.wrapper != first.wrapper
    assert {path for path in after if after[path] != before[path]} == {
        f"/etc/kubernetes/kube-proxy/client.{end}" for end in ("crt", "key")
    }
    assert pod.made() == {"config.ign", "issued.json"}, "no token is kept"
    assert not renew(pod.place(), pod.wanted(), bao, agent._of_role)


def test_a_renewal_whose_token_was_stolen_is_told_once_and_changes_nothing(site: Site, known: Known, tmp_path: Path) -> None:
    pod = Pod(tmp_path, site, known, "worker-0")
    bao = OpenBao(known.issuer.url, Path(pod.environment["BAO_CACERT"]), NAMESPACE, patience=5)
    assert pod.start() == 0
    before, first = serials(pod), Record.read(pod.place().record)
    wrapped = site.pki.token(known.cluster, known.vms["worker-0"]).token
    site.root.ask(lambda client: client.sys.unwrap(), wrapped)
    pod.write("run/token/wrapped", wrapped)
    assert renew(pod.place(), pod.wanted(), bao, agent._of_role)
    told = Record.read(pod.place().record)
    assert first
    assert told
    assert told.refused >= first.made
    assert "used by somebody else" in told.why
    assert (told.rotation, told.made, told.until, serials(pod)) == (first.rotation, first.made, first.until, before)
    assert not renew(pod.place(), pod.wanted(), bao, agent._of_role), "the same wrapper is not asked about again"
    pod.write("run/token/wrapped", site.pki.token(known.cluster, known.vms["worker-0"]).token)
    assert renew(pod.place(), pod.wanted(), bao, agent._of_role)
    assert serials(pod) != before


def test_a_renewal_that_was_killed_goes_on_with_the_token_that_it_has(site: Site, known: Known, tmp_path: Path) -> None:
    pod = Pod(tmp_path, site, known, "worker-0")
    bao = OpenBao(known.issuer.url, Path(pod.environment["BAO_CACERT"]), NAMESPACE, patience=5)
    assert pod.start() == 0
    pod.write("run/token/wrapped", site.pki.token(known.cluster, known.vms["worker-0"]).token)
    pod.write("run/token/rotation", "spring")

    class Killed(BaseException):
        pass

    def killed(*_: object) -> bytes:
        raise Killed

    with pytest.raises(Killed):
        renew(pod.place(), pod.wanted(), bao, killed)
    assert renew(pod.place(), pod.wanted(), bao, agent._of_role)
    found = Record.read(pod.place().record)
    assert found
    assert (found.rotation, found.refused) == ("spring", 0)
    assert not renew(pod.place(), pod.wanted(), bao, agent._of_role)


def test_beside_a_machine_it_waits_for_tokens_until_it_is_ended(site: Site, known: Known, tmp_path: Path) -> None:
    pod, stop = Pod(tmp_path, site, known, "worker-0"), threading.Event()
    assert pod.start() == 0
    before = serials(pod)
    thread = threading.Thread(target=agent.renew_all, args=(pod.environment, stop), kwargs={"root": pod.root, "patience": 5})
    thread.start()
    try:
        pod.write("run/token/wrapped", site.pki.token(known.cluster, known.vms["worker-0"]).token)
        until = time.monotonic() + 30
        while serials(pod) == before:
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        stop.set()
        thread.join()
