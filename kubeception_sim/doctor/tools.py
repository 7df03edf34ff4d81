"""The programs that the testbed starts, with the Debian packages they come in.

This is the whole list: a test holds it against every `require` in the code.
"""

from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.doctor.finding import Finding, Group, Part, Thing
from kubeception_sim.run import require, run

APT = "apt-get install -y --no-install-recommends"
OVMF = (Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd"))
IPXE = (Path("/usr/lib/ipxe/undionly.kpxe"), Path("/usr/lib/ipxe/snponly.efi"))
_SECONDS = 5.0


@dataclass(frozen=True)
class Tool:
    """A program, its package, who needs it, and the arguments with which it does nothing but say who it is."""

    name: str
    package: str
    parts: frozenset[Part]
    means: str
    arguments: tuple[str, ...] = ("--version",)


def _tool(name: str, package: str, means: str, *parts: Part, says: str = "--version") -> Tool:
    return Tool(name, package, frozenset(parts), means, (says,))


TOOLS = (
    _tool("ip", "iproute2", "namespaces and links", Part.FABRIC, says="-Version"),
    _tool("nsenter", "util-linux", "goes into namespace machines", Part.NAMESPACE),
    _tool("mount", "mount", "roots of namespace machines", Part.NAMESPACE),
    _tool("chroot", "coreutils", "programs in namespace machines", Part.NAMESPACE),
    _tool("qemu-system-x86_64", "qemu-system-x86", "virtual machines", Part.GUEST),
    _tool("docker", "docker.io", "machines as containers", Part.DOCKER),
    _tool("libvirtd", "libvirt-daemon libvirt-daemon-driver-qemu", "machines as libvirt domains", Part.LIBVIRT),
    _tool("mmdebstrap", "mmdebstrap", "makes the testbed OS", Part.IMAGE),
    _tool("mksquashfs", "squashfs-tools", "its root image", Part.IMAGE, says="-version"),
    _tool("zstd", "zstd", "its initrd", Part.IMAGE),
    _tool("unshare", "util-linux", "makes it apart from the host; the docker driver too", Part.IMAGE, Part.DOCKER),
    _tool("tar", "tar", "imports it into Docker", Part.DOCKER),
    _tool("dpkg-deb", "dpkg", "packages in it", Part.IMAGE),
    _tool("ssh", "openssh-client", "checks and commands on guests", Part.GUEST, Part.LIBVIRT, says="-V"),
    _tool("ssh-keygen", "openssh-client", "their keys", Part.GUEST, Part.LIBVIRT, says="-?"),
    _tool("bird", "bird2", "router between racks", Part.CLUSTER),
    _tool("haproxy", "haproxy", "balancer before API servers", Part.CLUSTER, says="-v"),
    _tool("gcc", "gcc", "Kubernetes and pause, when they are not in the cache", Part.CLUSTER),
    _tool("go", "golang-go", "Kubernetes, when it is not in the cache", Part.CLUSTER, says="version"),
    _tool("rsync", "rsync", "the same", Part.CLUSTER),
    _tool("make", "make", "the same", Part.CLUSTER),
    _tool("dpkg-source", "dpkg-dev", "the same", Part.CLUSTER),
    _tool("nft", "nftables", "the faults partition and loss", Part.FRAMES),
    _tool("tc", "iproute2", "the faults rate and delay", Part.RATE, Part.DELAY, says="-Version"),
)


def try_tools(tools: tuple[Tool, ...] = TOOLS) -> list[Finding]:
    """Start each: what it exits with does not matter, since some have no harmless argument."""
    return [_started(tool) for tool in tools]


def try_firmware(ovmf: tuple[Path, ...] = OVMF, ipxe: tuple[Path, ...] = IPXE) -> list[Finding]:
    """Read a byte of each file."""
    guests = frozenset((Part.UEFI, Part.LIBVIRT))
    return [
        Thing("OVMF firmware", Group.TOOLS, "UEFI machines", f"{APT} ovmf", guests).tried(lambda: _read(ovmf)),
        Thing("iPXE boot files", Group.TOOLS, "boot over the network", f"{APT} ipxe", frozenset((Part.NETBOOT,))).tried(
            lambda: _read(ipxe)
        ),
    ]


def _started(tool: Tool) -> Finding:
    def start() -> str:
        path = require(tool.name, tool.package)
        done = run([path, *tool.arguments], timeout=_SECONDS, check=False)
        first = next(iter((done.stdout or done.stderr).splitlines()), "").strip("* ")
        return first if any(map(str.isdigit, first)) else str(path)

    return Thing(tool.name, Group.TOOLS, tool.means, f"{APT} {tool.package}", tool.parts).tried(start)


def _read(files: tuple[Path, ...]) -> str:
    for file in files:
        with file.open("rb") as opened:
            if not opened.read(1):
                raise OSError(0, "empty", str(file))
    return ", ".join(map(str, files))
