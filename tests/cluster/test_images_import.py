"""The archive of images in a real containerd: all of it is imported, and what is inside runs."""

from pathlib import Path

import pytest

from kubeception_sim.artifacts import images, kubernetes
from kubeception_sim.artifacts.images import Images
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.errors import MissingTool
from kubeception_sim.run import require, run

# One shell in namespaces of its own, whose end is the end of all that it started and mounted. In memory, because overlays
# do not go upon overlays.
IMPORT = """
set -euo pipefail
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir root state
cat > config.toml << END
version = 2
root = "$1/root"
state = "$1/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$1/socket"
END
containerd --config config.toml > log 2>&1 &
ctr() { command ctr --address "$1/socket" --namespace k8s.io "${@:2}"; }
for ((attempt = 0; attempt < 300; attempt++)); do ctr "$1" version > /dev/null 2>&1 && break; sleep 0.1; done
ctr "$1" images import "$2" > /dev/null || { tail log >&2; exit 1; }
"""


@pytest.fixture(scope="module")
def made() -> Images:
    try:
        for tool in ("containerd", "ctr", "unshare"):
            require(tool, "containerd")
        programs = kubernetes.ensure(default_cache(), lambda what, done: None)
        return images.ensure(default_cache(), programs, lambda what, done: None)
    except MissingTool as error:
        pytest.skip(f"{error.message}: {error.hint}")


def containerd(folder: Path, made: Images, script: str) -> list[str]:
    """The lines that `script` prints when the archive has been imported; $1 is the folder of containerd."""
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", IMPORT + script, "bash")
    return run([*alone, folder, made.archive], timeout=300).stdout.splitlines()


def test_every_image_is_there_whole_and_unpacked(made: Images, tmp_path: Path) -> None:
    lines = containerd(tmp_path, made, 'ctr "$1" images check | tail -n +2')
    found = {line.split()[0]: line.split()[-1] for line in lines}
    release = {f"{images.PREFIX}/{name}:v1.20.2" for name in (*images.CONTROL_PLANE, "kube-proxy")}
    assert found == dict.fromkeys({*release, made.etcd, made.pause, made.agent, made.tools}, "true")
    assert [line for line in lines if "complete" not in line] == []


def test_what_is_in_the_images_runs(made: Images, tmp_path: Path) -> None:
    script = f"""
    inside() {{
        target=$(mktemp -d -p "$1")
        ctr "$1" images mount "$2" "$target" > /dev/null
        chroot "$target" "${{@:3}}"
    }}
    inside "$1" {made.etcd} etcd --version | sed -n 1p
    inside "$1" {images.PREFIX}/kube-proxy:v1.20.2 kube-proxy --version
    inside "$1" {images.PREFIX}/kube-apiserver:v1.20.2 /usr/bin/kube-apiserver --version
    inside "$1" {made.tools} sh -c 'for tool in busybox curl dig ping nc socat ip nft iptables conntrack haproxy; do
        test -n "$(command -v $tool)" || busybox --list | grep -qx $tool || echo "no $tool"; done
        stat -c "%a %U" /tmp /etc/shadow'
    inside "$1" {made.agent} env PYTHONPATH=/opt/kubeception python3 -W error -c '
import kubeception_sim.agents.dns.__main__, kubeception_sim.agents.policy.__main__, lightkube.config, dnslib
print(sorted(kubeception_sim.__path__))'
    """
    version = made.etcd.rpartition(":")[2]
    assert containerd(tmp_path, made, script) == [
        f"etcd Version: {version}",
        "Kubernetes v1.20.2",
        "Kubernetes v1.20.2",
        "1777 root",
        "640 root",
        "['/opt/kubeception/kubeception_sim']",
    ]
