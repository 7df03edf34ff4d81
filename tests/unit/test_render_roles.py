"""The templates of `mayu init` render to the configs beside them, want every value that they name, and show no secret."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ignition.document import DocumentError
from ignition.rules import decode_data_url, validate
from ignition.specs import SPECS, translate
from mayu_py import config
from mayu_py.cli.init import ROLES, TEMPLATES, init
from mayu_py.core.settings import NetworkFiles
from tests.golden.nics.cases import CASES, HOST
from tests.golden.roles.cases import HERE, VALUES, rendered, renderer, shown

# The paths below `values` that a template names, but for what is only asked whether it is there.
NAMED = re.compile(r"values\.((?:\w+\.)*\w+)\b(?! is )")
OPTIONAL = re.compile(r"values\.((?:\w+\.)*\w+)\b(?: is (?:not )?defined| \| default\()")
TOKEN_ID, TOKEN = VALUES["kubernetes"]["bootstrap_token"].split(".")
SECRETS = [
    VALUES["etcd"]["cluster_token"],
    TOKEN,
    *(
        pair["key"].strip()
        for pair in [*VALUES["pki"].values(), VALUES["kubernetes"]["signer"], VALUES["kubernetes"]["service_account"]]
    ),
]


def opened(source: str) -> str:
    """What a data URL holds."""
    data = decode_data_url(source)
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()


def texts(value: Any) -> Iterator[str]:
    """Every text of a config, and what its data URLs hold."""
    match value:
        case dict():
            for key, item in value.items():
                if key == "source" and item.startswith("data:"):
                    yield opened(item)
                yield from texts(item)
        case list():
            for item in value:
                yield from texts(item)
        case str():
            yield value


@pytest.mark.parametrize("role", ROLES)
def test_the_config_is_the_one_that_was_kept(role: str) -> None:
    assert shown(role) == (HERE / f"{role}.ign").read_text()


@pytest.mark.parametrize("files", NetworkFiles)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("role", ROLES)
def test_it_is_valid_in_every_network_and_from_spec_3_3_on(role: str, case: str, files: NetworkFiles) -> None:
    made = rendered(role, case, files).config
    assert json.loads(made)["ignition"]["version"] == "3.3.0"
    for spec in SPECS[3:]:
        translated = translate(made, spec.version)
        assert [str(problem) for problem in validate(made).problems] == []
        assert translated.ignition.version == spec.version


def without(values: Any, path: list[str]) -> Any:
    first, *rest = path
    if not rest:
        return {key: value for key, value in values.items() if key != first}
    return {**values, first: without(values[first], rest)}


@pytest.mark.parametrize("role", ROLES)
def test_each_value_that_is_missing_is_an_error_with_its_line(role: str) -> None:
    template = (TEMPLATES / f"{role}.bu").read_text()
    optional = tuple(f"{path}." for path in OPTIONAL.findall(template))
    named = {path.removesuffix(".split") for path in NAMED.findall(template)} - {"etcd.discovery"}
    named = {path for path in named if path == "etcd.srv_domain" or not f"{path}.".startswith(optional)}
    assert "admin_keys" in named
    for path in sorted(named):
        # Without the domain etcd asks for the other way to find its members.
        missing = "discovery" if path == "etcd.srv_domain" else path.split(".")[-1]
        with pytest.raises(DocumentError, match=f"{role}.bu:\\d+: error: .*('{missing}'|only text can be secret)"):
            renderer(role, "static", NetworkFiles.NONE, without(VALUES, path.split("."))).config(HOST)


@pytest.mark.parametrize("role", ROLES)
def test_people_see_no_secret_in_it(role: str) -> None:
    made = rendered(role)
    secret = {each for each in SECRETS if any(each in text for text in texts(json.loads(made.config)))}
    seen = {each for each in SECRETS if any(each in text for text in texts(json.loads(made.redacted)))}
    assert seen == set()
    assert bool(secret) == (role != "plain")


def files_of(role: str) -> dict[str, str]:
    """What the files of a role hold, by their paths."""
    made = json.loads(rendered(role).config)["storage"]["files"]
    return {file["path"]: opened(file["contents"]["source"]) for file in made if "contents" in file}


@pytest.mark.parametrize("role", ["giantnetes-master", "giantnetes-worker"])
def test_what_kubernetes_reads_is_what_it_reads(role: str) -> None:
    documents = {
        path: yaml.safe_load(text)
        for path, text in files_of(role).items()
        if path.startswith(("/etc/kubernetes/", "/etc/cni/")) and not path.endswith((".crt", ".key", ".pub"))
    }
    kinds = {path.removeprefix("/etc/"): found.get("kind") or found.get("name") for path, found in documents.items()}
    both = {
        "cni/net.d/10-pods.conflist": "pods",
        "cni/net.d/99-loopback.conf": "lo",
        "kubernetes/kubelet.yaml": "KubeletConfiguration",
        "kubernetes/kube-proxy/config.yaml": "KubeProxyConfiguration",
        "kubernetes/kube-proxy/client.conf": "Config",
    }
    worker = both | {"kubernetes/manifests/kube-proxy.yaml": "Pod", "kubernetes/bootstrap.conf": "Config"}
    master = both | {
        "kubernetes/bootstrap-roles.json": "List",
        "kubernetes/admin.conf": "Config",
        "kubernetes/controller-manager.conf": "Config",
        "kubernetes/kubelet.conf": "Config",
        "kubernetes/scheduler.conf": "Config",
        "kubernetes/manifests/etcd.yaml": "Pod",
        "kubernetes/manifests/kube-apiserver.yaml": "Pod",
        # What needs an API server waits for it outside of the kubelet's sight.
        "kubernetes/manifests-later/kube-controller-manager.yaml": "Pod",
        "kubernetes/manifests-later/kube-proxy.yaml": "Pod",
        "kubernetes/manifests-later/kube-scheduler.yaml": "Pod",
    }
    assert kinds == (worker if role == "giantnetes-worker" else master)


def test_a_master_lets_the_holders_of_the_bootstrap_token_join_and_the_api_server_ask_kubelets() -> None:
    files = files_of("giantnetes-master")
    secret, *roles = json.loads(files["/etc/kubernetes/bootstrap-roles.json"])["items"]
    assert (secret["type"], secret["metadata"]["name"]) == ("bootstrap.kubernetes.io/token", f"bootstrap-token-{TOKEN_ID}")
    assert secret["stringData"] == {"token-id": TOKEN_ID, "token-secret": TOKEN, "usage-bootstrap-authentication": "true"}
    csr = "system:certificates.k8s.io:certificatesigningrequests"
    assert [(item["roleRef"]["name"], item["subjects"][0]["kind"], item["subjects"][0]["name"]) for item in roles] == [
        (f"{csr}:nodeclient", "Group", "system:bootstrappers"),
        (f"{csr}:selfnodeclient", "Group", "system:nodes"),
        ("system:kubelet-api-admin", "User", "kube-apiserver-kubelet-client"),
        # The last, for a worker that may ask for a certificate must also get it.
        ("system:node-bootstrapper", "Group", "system:bootstrappers"),
    ]
    user = yaml.safe_load(files_of("giantnetes-worker")["/etc/kubernetes/bootstrap.conf"])["users"][0]["user"]
    assert user == {"token": f"{TOKEN_ID}.{TOKEN}"}


STATIC_PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")


@pytest.mark.parametrize("name", STATIC_PODS)
def test_a_static_pod_sees_the_files_that_its_flags_name_and_no_other_key(name: str) -> None:
    files = files_of("giantnetes-master")
    (manifest,) = (text for path, text in files.items() if path.endswith(f"/{name}.yaml"))
    pod = yaml.safe_load(manifest)["spec"]
    (container,) = pod["containers"]
    seen = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {volume["hostPath"]["path"] for volume in pod["volumes"]} == seen

    def visible(path: str) -> bool:
        return any(path == mount or path.startswith(f"{mount}/") for mount in seen)

    # What its flags name, and what is named in the kubeconfigs among that.
    named = set(re.findall(r"/etc/kubernetes/[\w./-]+", " ".join(container["command"])))
    while more := {path for each in named for path in re.findall(r"/etc/kubernetes/[\w./-]+", files[each])} - named:
        named |= more
    assert {path for path in named if not visible(path)} == set()
    assert {path for path in files if path.endswith(".key") and visible(path)} == {
        path for path in named if path.endswith(".key")
    }


def test_the_nodes_of_a_cluster_with_three_masters_find_each_other() -> None:
    etcd = yaml.safe_load(files_of("giantnetes-master")["/etc/kubernetes/manifests/etcd.yaml"])
    command = etcd["spec"]["containers"][0]["command"]
    members = "rack-3=https://10.77.0.11:2380,rack-4=https://10.77.0.12:2380,rack-5=https://10.77.0.13:2380"
    assert f"--initial-cluster={members}" in command
    assert "--initial-cluster-state=new" in command


@pytest.mark.parametrize("role", ["giantnetes-master", "etcd"])
def test_a_private_file_is_its_owner_s_alone(role: str) -> None:
    made = json.loads(rendered(role).config)["storage"]["files"]
    modes = {file["path"]: file["mode"] for file in made}
    held = {path for path, text in files_of(role).items() if any(secret in text for secret in SECRETS)}
    assert held != set()
    assert {modes[path] for path in held} == {0o600}


@pytest.mark.parametrize("role", ROLES)
def test_init_writes_a_config_that_lacks_only_what_nobody_else_can_know(role: str, tmp_path: Path) -> None:
    arguments = [role, str(tmp_path / "rack"), "--interface", "br0", "--address", "10.77.0.1/24"]
    ran = CliRunner().invoke(init, arguments)
    assert ran.exit_code == 0, ran.output
    _, problems = config.check(tmp_path / "rack" / "mayu.yaml")
    messages = [problem.message.replace(f"{tmp_path}/", "") for problem in problems]
    assert [message for message in messages if "tftp" not in message and "ipxe" not in message and ".kpxe" not in message] == [
        "there is no file rack/image/initrd.img",
        "there is no file rack/image/vmlinuz",
    ]


def test_init_leaves_files_alone_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "mayu.yaml").write_text("mine")
    ran = CliRunner().invoke(init, ["plain", str(tmp_path), "--interface", "br0", "--address", "10.77.0.1/24"])
    assert ran.exit_code != 0
    assert [path.name for path in tmp_path.iterdir()] == ["mayu.yaml"]
    assert (tmp_path / "mayu.yaml").read_text() == "mine"


@pytest.mark.parametrize("address", ["10.77.0.0/24", "10.77.0.255/24", "rack", "10.77.0.1"])
def test_init_wants_the_address_of_a_host_with_its_subnet(address: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(init, ["plain", str(tmp_path), "--interface", "br0", "--address", address])
    assert ran.exit_code == 2
    assert list(tmp_path.iterdir()) == []
