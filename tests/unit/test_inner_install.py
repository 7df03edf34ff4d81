"""What the outer cluster gets for inner ones: whole, stable, and with no more rights than the controller uses."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from kubeception_sim.inner import install
from kubeception_sim.inner.controller.settings import FILE, Settings
from kubeception_sim.inner.controller_pod import NAME, RULES
from kubeception_sim.inner.doors import GuestImage
from kubeception_sim.pki import Issued

PARTS = install.Parts(
    services=IPv4Network("10.61.0.0/16"),
    bao_url="https://10.77.0.1:8200",
    bao_ca="the CA of OpenBao",
    bao_token="a token",
    authority="the CA of the outer cluster",
    store_tls=Issued("a certificate", "a key"),
    store_password="a password",
    guests={"v1.20.2": {"testbed-1": GuestImage("http://10.77.1.1:4081/images/guest", *("abc"[n] * 64 for n in range(3)))}},
    etcd_image="kubeception.local/etcd:3.4.23",
    addons_image="kubeception.local/agent:1",
    accelerator="tcg",
    domain="clusters.example",
    balancer=IPv4Address("10.77.0.2"),
)


def found(kind: str, name: str) -> install.Document:
    (it,) = (each for each in install.objects(PARTS) if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return it


def test_the_definition_is_first_and_the_namespace_before_what_is_in_it() -> None:
    kinds = [each["kind"] for each in install.objects(PARTS)]
    assert kinds[:2] == ["CustomResourceDefinition", "Namespace"]
    assert {each["metadata"].get("namespace") for each in install.objects(PARTS)} == {None, "kubeception-system"}


def test_twice_the_same_for_the_same_parts() -> None:
    assert install.objects(PARTS) == install.objects(PARTS)


def test_the_controller_reads_what_it_is_told(tmp_path: Path) -> None:
    for name, text in found("Secret", NAME)["stringData"].items():
        (tmp_path / name).write_text(text)
    settings = Settings.read(tmp_path / FILE)
    assert settings.guests == PARTS.guests
    assert settings.openbao.read_token() == PARTS.bao_token
    assert settings.network.address == IPv4Address("10.61.0.11")
    assert settings.network.read_password() == PARTS.store_password
    assert (settings.domain, settings.accelerator) == ("clusters.example", "tcg")


def test_a_controller_that_is_told_something_else_is_started_anew() -> None:
    def revision(parts: install.Parts) -> str:
        (pod,) = (each for each in install.objects(parts) if (each["kind"], each["metadata"]["name"]) == ("Deployment", NAME))
        return str(pod["spec"]["template"]["metadata"]["annotations"]["kubeception.io/settings"])

    assert revision(PARTS) == revision(replace(PARTS))
    assert revision(PARTS) != revision(replace(PARTS, bao_token="another"))


def test_the_controller_has_no_privilege() -> None:
    spec = found("Deployment", NAME)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert spec["securityContext"]["runAsNonRoot"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


@pytest.mark.parametrize("resource", ["nodes/status", "pods/exec", "clusterroles", "clusterrolebindings", "*"])
def test_the_controller_has_no_right_to_what_it_does_not_use(resource: str) -> None:
    assert not [rule for rule in RULES if resource in rule["resources"] or "*" in rule["verbs"]]
