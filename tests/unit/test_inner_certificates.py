"""The certificates of inner clusters as values: each of one machine, of its own cluster, and what a machine's token opens."""

import json
from ipaddress import IPv4Address
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ignition.document import DocumentError
from kubeception_sim.agents.issue import __main__ as agent
from kubeception_sim.agents.issue.render import render
from kubeception_sim.agents.issue.step import with_secrets, write
from kubeception_sim.agents.issue.wanted import Wanted
from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.allocation import Vm, machines, names
from kubeception_sim.inner.certificates import ADMIN_HOURS, MASTER, NODE, Mounts, admin_request, requests, tenant, wanted
from kubeception_sim.inner.doors import TOKEN_REFUSED
from kubeception_sim.inner.resource import Cluster, Masters, Role, Spec
from kubeception_sim.pki.tenants import controller_policy, creation_path, member_policy, policy_name
from tests.golden.roles.cases import VALUES

DOMAIN = "k8s.example"
CLUSTER = Cluster("blue", Spec(masters=Masters(count=3)))
SECRETS = {
    NODE: ("ca", "bootstrap_token"),
    MASTER: ("etcd_ca", "front_proxy_ca", "signer", "service_account"),
}


def vms(cluster: Cluster) -> tuple[Vm, ...]:
    return machines(cluster, {name: number for number, name in enumerate(names(cluster), 1)})


VMS = vms(CLUSTER)
FIRST, WORKER = VMS[0], VMS[-1]


def test_a_machine_has_certificates_of_its_own_clusters_authorities_alone() -> None:
    mounts = {each.mount for vm in VMS for each in requests(CLUSTER, vm, DOMAIN).values()}
    assert mounts == {"pki-blue", "pki-blue-etcd", "pki-blue-front-proxy"}
    found = [each for vm in VMS for each in requests(CLUSTER, vm, DOMAIN).values()] + [admin_request("blue")]
    assert len({(each.mount, each.name) for each in found}) == len(found)


def test_etcd_and_the_front_proxy_believe_their_own_authorities() -> None:
    of = {name: each.mount for name, each in requests(CLUSTER, FIRST, DOMAIN).items()}
    of_etcd = {name for name, mount in of.items() if mount == "pki-blue-etcd"}
    assert of_etcd == {"etcd_server", "etcd_peer", "etcd_client", "apiserver_etcd_client"}
    assert [name for name, mount in of.items() if mount == "pki-blue-front-proxy"] == ["front_proxy_client"]


def test_the_api_server_is_certified_for_every_way_to_it() -> None:
    found = requests(CLUSTER, FIRST, DOMAIN)["apiserver"]
    assert {"api.blue.k8s.example", "api.cluster-blue", "api.cluster-blue.svc", "kubernetes", "localhost", "master-0"} <= set(
        found.dns
    )
    assert set(found.addresses) == {FIRST.address, IPv4Address("10.81.0.1"), IPv4Address("127.0.0.1")}
    assert (found.server, found.client) == (True, False)


def test_a_node_is_called_what_its_machine_is() -> None:
    assert requests(CLUSTER, FIRST, DOMAIN)["kubelet"].common_name == "system:node:master-0"


def test_a_worker_has_its_kube_proxys_certificate_and_reads_what_all_may() -> None:
    member = tenant(CLUSTER, VMS, DOMAIN).members[WORKER.name]
    assert ([each.name for each in member.requests], member.reads) == ([f"{WORKER.name}.kube-proxy"], (NODE,))


def test_a_policy_opens_a_machines_own_and_no_other_machines() -> None:
    blue = tenant(CLUSTER, VMS, DOMAIN)
    for vm in VMS:
        text = member_policy(blue, blue.members[vm.name])
        opened = [json.loads(line.split()[1]) for line in text.splitlines() if line.startswith("path ")]
        own = {f"{each.mount}/issue/{each.name}" for each in blue.members[vm.name].requests}
        shared = {"secrets-blue/node"} | ({"secrets-blue/master"} if vm.role is Role.MASTER else set())
        assert set(opened) == own | shared | {"auth/token/lookup-self", "auth/token/revoke-self"}
        assert len(opened) == len(set(opened))


def test_a_changed_role_changes_the_policy_that_vouches_for_it() -> None:
    blue = tenant(CLUSTER, VMS, DOMAIN)
    other = tenant(CLUSTER, VMS, "other.example")
    assert member_policy(blue, blue.members["master-0"]) != member_policy(other, other.members["master-0"])


def test_the_controller_reads_and_overwrites_nothing_that_machines_share() -> None:
    _, _, after = controller_policy().partition('path "secrets-*" {')
    assert json.loads(after.partition("capabilities = ")[2].partition("\n")[0]) == ["create", "list"]


def test_an_administrators_certificate_is_good_for_hours() -> None:
    found = admin_request("blue")
    assert (found.mount, found.organization, found.ttl_hours) == ("pki-blue", "system:masters", ADMIN_HOURS)
    assert (found.client, found.server, found.dns) == (True, False, ())


NAMES = st.one_of(
    st.from_regex(r"[a-z]([a-z0-9-]{0,9}[a-z0-9])?", fullmatch=True),
    st.lists(st.sampled_from(("a", "b", "etcd", "front", "proxy", "vm")), min_size=1, max_size=3).map("-".join),
).filter(lambda name: len(name) <= 11)


@given(NAMES, NAMES)
def test_whatever_clusters_are_called_nothing_is_of_both(one: str, other: str) -> None:
    assume(one != other)
    tenants = []
    for name in (one, other):
        try:
            tenants.append(tenant(Cluster(name), vms(Cluster(name)), DOMAIN))
        except HarnessError:
            assert name.endswith(("-etcd", "-front-proxy"))
            return
    first, second = ({*each.mounts, each.store, creation_path(each.name)} for each in tenants)
    assert not first & second
    # What is found by its beginning, to be removed or allowed, is nobody else's.
    for mine, theirs in ((one, other), (other, one)):
        assert not policy_name(theirs, "master-0").startswith(policy_name(mine, ""))


@pytest.mark.parametrize("name", ["blue-etcd", "a-front-proxy"])
def test_a_name_that_stands_for_an_authority_of_another_cluster_is_refused(name: str) -> None:
    with pytest.raises(HarnessError, match="authority of"):
        Mounts.of(name)


def test_what_a_machine_asks_for_is_read_by_its_pki_step() -> None:
    found = Wanted.read(json.dumps(wanted(CLUSTER, FIRST, DOMAIN)))
    assert (found.namespace, found.role, found.creation_path) == ("clusters", "master", "auth/token/create/vm-blue")
    assert found.secrets == ("secrets-blue/node", "secrets-blue/master")
    asked = {each.name: each.path for each in found.certificates}
    assert asked == {name: f"{each.mount}/issue/{each.name}" for name, each in requests(CLUSTER, FIRST, DOMAIN).items()}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"certificates": [{"name": "x"}]}', '{"certificates": 1}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one, without a message of ours
        Wanted.read(text)


def test_both_sides_have_one_number_for_a_stolen_token() -> None:
    assert agent.STOLEN == TOKEN_REFUSED


def without_secrets(role: Role) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The golden values of the templates, taken apart: what a ConfigMap holds, and what OpenBao has."""
    kubernetes: dict[str, Any] = dict(VALUES["kubernetes"])
    entries = [{key: kubernetes.pop(key) for key in SECRETS[entry]} for entry in (NODE, MASTER)]
    rest = {key: value for key, value in VALUES.items() if key != "pki"}
    host = {"name": f"{role}-0", "address": "172.23.0.6"}
    variables = {"host": host, "report_url": "http://localhost/", "values": {**rest, "kubernetes": kubernetes}}
    return variables, entries if role is Role.MASTER else entries[:1]


@pytest.mark.parametrize("role", list(Role))
def test_values_and_secrets_together_are_all_that_a_role_template_wants(role: Role) -> None:
    values, entries = without_secrets(role)
    template = (agent.TEMPLATES / f"giantnetes-{role}.bu").read_text()
    whole = with_secrets(values, entries)
    config = json.loads(render(template, whole, VALUES["pki"]))
    assert len(config["storage"]["files"]) > 10
    assert whole["values"]["kubernetes"]["bootstrap_token"] == VALUES["kubernetes"]["bootstrap_token"]
    assert "bootstrap_token" not in values["values"]["kubernetes"]


def test_a_config_that_cannot_be_made_tells_no_secret() -> None:
    values = {"values": {"kubernetes": {"bootstrap_token": "abcdef.0123456789abcdef"}}}
    template = 'variant: fcos\nversion: 1.4.0\nstorage: {files: [{path: "{{ values.kubernetes.bootstrap_token }}"}]}\n'
    with pytest.raises(DocumentError) as raised:
        render(template, values, {})
    assert "0123456789abcdef" not in str(raised.value)


def test_equal_values_make_equal_configs_and_others_another_id() -> None:
    template = 'variant: fcos\nversion: 1.4.0\nstorage: {files: [{path: /id, contents: {inline: "{{ config_id }}"}}]}\n'
    one, same, other = (render(template, {"values": {"a": a, "b": 1}}, {}) for a in (1, 1, 2))
    assert one == same != other


def test_a_config_is_its_owners_to_read_and_is_written_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "config.ign"
    (tmp_path / "config.new").write_text("from a step that was killed")
    write(path, b"{}")
    assert (path.read_bytes(), path.stat().st_mode & 0o777, [each.name for each in tmp_path.iterdir()]) == (
        b"{}",
        0o400,
        ["config.ign"],
    )


def test_masters_have_addresses_of_their_own_in_their_certificates() -> None:
    found = [set(requests(CLUSTER, vm, DOMAIN)["etcd_peer"].addresses) for vm in VMS if vm.role is Role.MASTER]
    for one, other in combinations(found, 2):
        assert one & other == {IPv4Address("127.0.0.1")}
