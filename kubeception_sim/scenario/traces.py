"""What clusters may leave behind, as lines of text: two lists of them are compared, and their difference is told.

    node    of each machine: network namespaces with their links, static FDB entries, routes and rules; folders of disks and of
            pods; processes of virtual machines
    api     every object of the outer cluster, by kind, namespace and name
    store   every key, user and role of the store of networks
    bao     mounts, policies, roles of tokens and entities in OpenBao's namespace of clusters

What lasts for a time by itself is left out: learned FDB entries, neighbours, counters, events, and requests for certificates.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import hvac

from kubeception_sim.giantnetes.bringup import OuterCluster
from kubeception_sim.giantnetes.kubectl import Kubectl
from kubeception_sim.inner import store
from kubeception_sim.inner.allocation import NAMESPACE
from kubeception_sim.machines import Machine
from kubeception_sim.network import inside
from kubeception_sim.pki import tenants
from kubeception_sim.pki.bao import BaoAuthority
from kubeception_sim.pki.server import Server

_ASK_SECONDS = 60.0
_PASSING = ("events", "certificatesigningrequests", "componentstatuses", "endpointslices")
_LISTS = ("sys/policies/acl", "auth/token/roles", "identity/entity/id")
_MIRROR = "kubernetes.io/config.mirror"
_GENERATION = re.compile(r"_g\d+\b")
_ELEMENTS = re.compile(r"(elements = \{ )(.*?)( \})")

NODE = r"""
for folder in "$CLUSTERS" /var/lib/kubelet/pods; do
  find "$folder" -mindepth 1 -maxdepth 1 2>/dev/null | sed 's/^/folder /'
done
ls /run/netns 2>/dev/null | sed 's/^/netns /'
seen=
for process in /proc/[0-9]*; do
  pid=${process#/proc/}
  case "$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)" in
    *qemu-system-*|*kubeception_sim.agents.vm\ *|*kubeception_sim.agents.bridge\ *) echo "process $(cat "$process/comm")";;
  esac
  net=$(readlink "$process/ns/net") || continue
  case " $seen " in *" $net "*) continue;; esac
  seen="$seen $net"
  of=$(nsenter --target "$pid" --uts hostname 2>/dev/null) || continue
  within() { nsenter --target "$pid" --net "$@"; }
  within ip -o link show | awk -v of="$of" -F': ' '{ sub("@.*", "", $2); print "link", of, $2 }'
  within bridge fdb show | grep -E 'permanent|static' | sed "s/^/fdb $of /"
  within ip route show table all | grep -v 'proto ra' | sed "s/^/route $of /"
  within nft --stateless list ruleset | grep -v '^[[:space:]]*}*$' | sed "s/^/rule $of /"
done
"""
"""For a shell of a node, as root. `CLUSTERS` is the folder of disks. A process that ends meanwhile has left nothing."""

_STORE = rf"""
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS="https://127.0.0.1:{store.PORT}" ETCDCTL_INSECURE_SKIP_TLS_VERIFY=true
ask() {{ etcdctl --user="{store.ROOT}:$(cat /run/store/password)" "$@"; }}
ask get "" --prefix --keys-only | sed '/^$/d; s/^/key /'
ask user list | sed 's/^/user /'
ask role list | sed 's/^/role /'
"""


def difference(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """What is gone, with a minus, and what is new, with a plus. Pure."""
    lines = difflib.unified_diff(sorted(before), sorted(after), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def take(outer: OuterCluster, machines: Mapping[str, Machine], folder: str) -> tuple[str, ...]:
    """All that there is now; `folder` is that of disks on each node. Raises HarnessError."""
    found = [
        *(f"node {name} {line}" for name, machine in machines.items() for line in of_node(machine, folder)),
        *(f"api {line}" for line in _api(outer.kubectl)),
        *(f"store {line}" for line in _store(outer.kubectl)),
        *(f"bao {line}" for line in _bao(outer)),
    ]
    return tuple(sorted(found))


def of_node(machine: Machine, folder: str) -> Iterator[str]:
    """The traces on one machine."""
    text = machine.execute(("env", f"CLUSTERS={folder}", "bash", "-c", NODE), timeout=_ASK_SECONDS).stdout
    return map(normal, filter(None, text.splitlines()))


def normal(line: str) -> str:
    """A line of rules without what differs between two looks at the same. Pure.

    Elements of sets have no order; the agent of NetworkPolicy counts its rulesets, and has that in their names.
    """
    plain = _GENERATION.sub("_g", line.rstrip())
    return _ELEMENTS.sub(lambda found: found[1] + ", ".join(sorted(found[2].split(", "))) + found[3], plain)


def _api(kubectl: Kubectl) -> Iterator[str]:
    kinds = kubectl("api-resources", "--verbs=list", "--output=name", timeout=_ASK_SECONDS).stdout.split()
    lasting = sorted(kind for kind in kinds if kind.partition(".")[0] not in _PASSING)
    yield from objects(kubectl.get(",".join(lasting), "--all-namespaces", timeout=_ASK_SECONDS)["items"])


def objects(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each object, once for those that several versions of the API have. Pure.

    A pod of a file of its node is left out: that the API knows of it comes late, and by itself.
    """
    lasting = (each for each in items if _MIRROR not in each["metadata"].get("annotations", {}))
    names = ((each["kind"], each["metadata"].get("namespace", "-"), each["metadata"]["name"]) for each in lasting)
    return map(" ".join, dict.fromkeys(names))


def _store(kubectl: Kubectl) -> Sequence[str]:
    command = ("exec", f"--namespace={NAMESPACE}", f"deployment/{store.NAME}", "--", "sh", "-euc", _STORE)
    return kubectl(*command, timeout=_ASK_SECONDS).stdout.splitlines()


def _bao(outer: OuterCluster) -> Sequence[str]:
    authority = outer.certificates.authority
    assert isinstance(authority, BaoAuthority), "the rules of scenarios see to it"
    server = authority.server
    assert isinstance(server, Server)
    access = replace(server.access, namespace=tenants.NAMESPACE)
    return inside(server.namespace, lambda: access.ask(_listed))


def _listed(client: hvac.Client) -> list[str]:
    found = [f"mount {name}" for name in client.sys.list_mounted_secrets_engines()["data"]]
    for path in _LISTS:
        there: Any = client.list(path)
        found += [f"{path} {name}" for name in (there["data"]["keys"] if there else ())]
    return found
