"""What a machine is as a container: the request that makes it, and what its first process does before it is systemd. Pure.

It is not privileged: the capabilities, devices and mounts that the testbed OS, containerd and kubelet need are named, and the
host keeps what a container with everything would get: its disks, its modules, its clock, its kernel's settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeception_sim.lab import ENV_LAB
from kubeception_sim.machines.docker_engine import LABEL_LAB

OWN = "own"
GATE, COMMAND_LINE = "gate", "cmdline"
_INSIDE = "/run/kubeception"

CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "SETFCAP", "SYS_CHROOT", "AUDIT_WRITE"),
    "DAC_READ_SEARCH",  # journald, and what backs files up
    "IPC_LOCK",  # servers of secrets, that keep theirs out of swap
    "MKNOD",  # the devices of pods
    "NET_ADMIN",  # networkd, CNI, kube-proxy, BIRD: addresses, routes, bridges, netfilter
    "NET_BIND_SERVICE",
    "NET_BROADCAST",  # BIRD keeps it when it gives up root, and does not start without
    "NET_RAW",  # DHCP, ping
    "SYS_ADMIN",  # mounts, namespaces and cgroups of pods
    "SYS_BOOT",  # to reboot and power off: in a PID namespace that ends it, and nothing else
    "SYS_NICE",  # scheduling of units and pods
    "SYS_PTRACE",  # entering the namespaces of pods
    "SYSLOG",  # kubelet reads /dev/kmsg for what the kernel has killed
)
DEVICES = ("/dev/fuse", "/dev/kmsg", "/dev/kvm", "/dev/net/tun")

# Runs as PID 1 of the container: nothing may be left of it but systemd. Its one input are the words for systemd.
# - What Docker mounts over files of /etc could not be replaced by a rename, as everybody does it.
# - Docker mounts the cgroups read-only; they are the container's own, by its cgroup namespace.
# - /proc/sys stays read-only, because most of it is the host's, but for the network's, which is the machine's own.
# - kubelet passes mounts on to pods.
ENTRY = f"""\
set -euf
read -r words < {_INSIDE}/{GATE}
for file in /etc/hostname /etc/hosts /etc/resolv.conf; do
    if mountpoint -q "$file"; then umount "$file"; fi
done
while read -r _ point kind _; do
    case $kind in cgroup|cgroup2) mount -o remount,bind,rw "$point" ;; esac
done < /proc/mounts
mount --bind {_INSIDE}/{COMMAND_LINE} /proc/cmdline
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,rw /proc/sys/net
cd {_INSIDE}/sysctl
for name in $(find . -type f); do
    if [ -e "/proc/sys/$name" ]; then mount --bind "$name" "/proc/sys/$name"; fi
done
cd /
mount --make-rshared /
exec /usr/lib/systemd/systemd $words
"""


@dataclass(frozen=True)
class Container:
    """`memory` is in bytes, `devices` are those of `DEVICES` that the host has, `folder` is the machine's own on the host."""

    hostname: str
    image: str
    lab: str
    uuid: str
    memory: int
    cpus: int
    folder: Path
    devices: Sequence[str]

    def request(self) -> dict[str, Any]:
        """The body of POST /containers/create (Docker Engine API 1.41)."""
        environment = {"container": "docker", "container_uuid": self.uuid, "TERM": "dumb", ENV_LAB: self.lab}
        return {
            "Image": self.image,
            "Hostname": self.hostname,
            "Entrypoint": ["/bin/sh", "-c", ENTRY],
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "Labels": {LABEL_LAB: self.lab},
            "Tty": True,
            "HostConfig": self._host_config(),
        }

    def _host_config(self) -> dict[str, Any]:
        return {
            "NetworkMode": "none",
            "CgroupnsMode": "private",
            "CapDrop": ["ALL"],
            "CapAdd": list(CAPABILITIES),
            # The profiles of seccomp and AppArmor forbid mount(2) and what else the capabilities allow.
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            # Less than the engine's own score takes CAP_SYS_RESOURCE, which not every root has.
            "OomScoreAdj": 0,
            "Memory": self.memory,
            "MemorySwap": self.memory,
            "NanoCpus": self.cpus * 1_000_000_000,
            "ShmSize": self.memory // 2,
            "Tmpfs": {
                "/run": f"rw,nosuid,nodev,exec,mode=755,size={self.memory // 5}",
                # Containers' layers go here: an overlay cannot lie on an overlay.
                "/run/testbed": f"rw,suid,dev,exec,mode=755,size={self.memory * 9 // 10}",
            },
            "Mounts": [{"Type": "bind", "Source": str(self.folder / OWN), "Target": _INSIDE}],
            "Devices": [{"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"} for path in self.devices],
            "LogConfig": {"Type": "none"},  # the console has it
        }
