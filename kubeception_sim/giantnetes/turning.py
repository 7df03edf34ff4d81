"""Gives a running cluster new certificates, a host after the other (rotation.py says in which order).

What a host gets is what is different between the Ignition configs that mayu would serve it before and after it was told of the
new certificates. So a machine that was turned is one that has booted with its new config, and may say that it runs that one.
"""

import shutil
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from kubeception_sim.errors import DeadlineExceeded, HarnessError, KubeceptionError
from kubeception_sim.giantnetes.bringup import API_SERVICE, OuterCluster, write_kubeconfig
from kubeception_sim.giantnetes.cluster import Host
from kubeception_sim.giantnetes.components import of_host
from kubeception_sim.giantnetes.hosts import Inside, changed, config_id
from kubeception_sim.giantnetes.nodes import CONFIG
from kubeception_sim.giantnetes.rotation import ETCD, HEALTH, SERVED, Do, Step, files, majority, pod, steps
from kubeception_sim.giantnetes.values import Pair, pki_values
from kubeception_sim.machines import Machine
from kubeception_sim.pki.rotation import Turn, read, renew

RESTART_SECONDS = 240.0  # with the five seconds between its probes, and ten to forty that a kubelet may want to wait
QUORUM_SECONDS = 60.0
DRAIN_SECONDS = 2.0  # for requests that are on their way; watches do not end
ADMIT_SECONDS = 60.0
VERIFY_SECONDS = 30.0
WELL_SECONDS = 120.0
_POLL_SECONDS = 0.2
_HANDSHAKE_SECONDS = 5.0

Note = Callable[[Step, float], None]


class Inventory(Protocol):
    """mayu, as one who may change hosts meets it. Both raise HarnessError when it does not answer as it should."""

    def config(self, host: str) -> Mapping[str, Any]:
        """The Ignition config that the host would be served now."""
        ...

    def give(self, host: str, values: Mapping[str, Any]) -> None:
        """Lay values over those of the host's template."""
        ...


@dataclass
class Turning:
    """The cluster, its machines, mayu. `told` is called with a host and the id of the config that it runs from then on."""

    outer: OuterCluster
    machines: Mapping[str, Machine]
    inventory: Inventory
    folder: Path
    told: Callable[[str, str], None]

    def plan(self, turn: Turn) -> tuple[Step, ...]:
        """What `carry_out` would do."""
        return steps(turn, [host.name for host in self.outer.cluster.masters])

    def carry_out(self, turn: Turn, note: Note) -> None:
        """Do it all; `note` is called after each step with the seconds it took.

        Raises HarnessError when something does not become what it must be; the same turn may be tried again then.
        """
        visit = _Visit(self, turn)
        try:
            for step in self.plan(turn):
                began = time.monotonic()
                visit.do(step)
                note(step, time.monotonic() - began)
        except BaseException:
            visit.give_up()
            raise


@dataclass
class _Visit:
    """One turn as it goes on."""

    of: Turning
    turn: Turn
    issued: dict[str, Pair] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    drained: bool = False
    old: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def host(self) -> Host:
        return next(host for host in self.of.outer.cluster.hosts if host.name == self.turn.host)

    @property
    def inside(self) -> Inside:
        return Inside(self.of.machines[self.turn.host])

    def do(self, step: Step) -> None:
        match step.do:
            case Do.ISSUE:
                made = renew(self.of.outer.certificates.authority, self.turn)
                self.issued = {name: Pair(each.cert, each.key) for name, each in made.items()}
            case Do.TELL:
                self._tell()
            case Do.WRITE:
                self._write()
            case Do.DRAIN:
                self.drained = True
                self.of.outer.balancer.drain(API_SERVICE, self.turn.host, grace=DRAIN_SECONDS)
            case Do.QUORUM:
                self._check_quorum(step.what)
            case Do.RESTART:
                self._restart(step.what[0])
            case Do.ADMIT:
                self.of.outer.balancer.admit(API_SERVICE, self.turn.host, within=ADMIT_SECONDS)
                self.drained = False
            case Do.VERIFY:
                self._verify()
            case Do.MARK:
                self._mark()
            case Do.ADOPT:
                adopt(self.of.outer, self.of.folder, self.issued["admin"])

    def give_up(self) -> None:
        """Whatever went wrong: whether clients are sent to this host is the health checks' affair again."""
        if self.drained:
            with suppress(KubeceptionError):
                self.of.outer.balancer.admit(API_SERVICE, self.turn.host, within=0)

    def _tell(self) -> None:
        """mayu first: a machine that loses its power from now on comes back with the new ones, and all others are good still."""
        outer, host = self.of.outer, self.host
        pairs = {**outer.certificates.of(host), **self.issued}
        self.before = self.of.inventory.config(host.name)
        self.of.inventory.give(host.name, {"pki": pki_values(pairs)})
        self.after = self.of.inventory.config(host.name)
        outer.certificates = replace(outer.certificates, hosts={**outer.certificates.hosts, host.name: pairs})

    def _write(self) -> None:
        wanted = {str(path) for name in self.issued for path in files(name)}
        found = {file.path: file for file in changed(self.before, self.after)}
        if missing := wanted - set(found):
            raise HarnessError(f"mayu's config of {self.host.name} does not hold the new {', '.join(sorted(missing))}")
        with _scratch(self.of.folder) as folder:
            self.inside.write(tuple(found.values()), folder)
        self.old = {name: self.inside.running(name) for name in self.turn.restarts}

    def _check_quorum(self, others: Sequence[str]) -> None:
        needed = majority(len(others) + 1)

        def healthy() -> list[str]:
            return [name for name in others if Inside(self.of.machines[name]).answers(HEALTH[ETCD])]

        _await(
            lambda: "" if len(found := healthy()) >= needed else f"{len(found)} of {', '.join(others)} are well, not {needed}",
            QUORUM_SECONDS,
            f"etcd would lose its majority without {self.turn.host}",
        )

    def _restart(self, name: str) -> None:
        """Unless it has started by itself since it has new files: who leads and misses the API server for ten seconds ends."""
        inside, old = self.inside, self.old[name]
        inside.stop(name, old)

        def problem() -> str:
            running = inside.running(name)
            if not running or running & old:
                return "there is no new one yet"
            return "" if inside.answers(HEALTH[name]) else f"{HEALTH[name]} does not answer 200"

        _await(problem, RESTART_SECONDS, f"{name} of {self.turn.host} does not come back")

    def _verify(self) -> None:
        _await(self._problem, VERIFY_SECONDS, f"{self.turn.host} does not have what it was given")

    def _problem(self) -> str:
        """The first place where an old certificate is still seen; empty when there is none."""
        inside = self.inside
        for name, pair in self.issued.items():
            place = str(files(name)[0])
            if read(inside.text(place)) != read(pair.cert):
                return f"{place} is another one"
            user = pod(name)
            if user and (seen := inside.seen(user, place)) is not None and read(seen) != read(pair.cert):
                return f"{user} has another {place}"
            port = SERVED.get(name)
            if port and (serial := served(self.of.outer, self.host, port)) != read(pair.cert).serial_number:
                return f"port {port} shows the serial {serial:x}"
        return ""

    def _mark(self) -> None:
        identity = config_id(self.after)
        self.of.outer.kubectl("annotate", "--overwrite", "node", self.host.name, f"{CONFIG}={identity}")
        self.of.told(self.host.name, identity)
        # What a kubelet has started anew or looked after counts as unready until it has probed it.
        wanted = {self.host.name: identity}
        _await(lambda: "; ".join(self.of.outer.problems(wanted)), WELL_SECONDS, "the cluster is not well again")


def served(outer: OuterCluster, host: Host, port: int) -> int:
    """The serial number that a server of a host shows in a handshake, seen from the fabric. Raises HarnessError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata="".join(outer.certificates.roots.values()))
    try:
        with outer.connect() as raw:
            raw.settimeout(_HANDSHAKE_SECONDS)
            raw.connect((str(host.address), port))
            # In TLS 1.3 our handshake is over before the server asks who we are.
            with context.wrap_socket(raw, server_hostname=str(host.address)) as shaken:
                shown = shaken.getpeercert(binary_form=True)
    except OSError as error:
        raise HarnessError(f"no handshake with {host.address}:{port}: {error}") from error
    assert shown is not None
    return read(ssl.DER_cert_to_PEM_cert(shown)).serial_number


def adopt(outer: OuterCluster, folder: Path, pair: Pair) -> None:
    """Have kubectl and probes use a new certificate of the administrator, from now on and without a moment between.

    The files have new names: who has read the old kubeconfig a moment ago still finds what it names.
    """
    serial = read(pair.cert).serial_number
    paths = {kind: folder / "pki" / f"admin-{serial:x}.{kind}" for kind in ("crt", "key")}
    for kind, text in (("crt", pair.cert), ("key", pair.key)):
        paths[kind].touch(mode=0o600)
        paths[kind].write_text(text)
    certificates = replace(outer.certificates, admin_cert=paths["crt"], admin_key=paths["key"])
    draft = outer.kubectl.kubeconfig.with_suffix(".new")
    write_kubeconfig(draft, outer.cluster, certificates)
    draft.rename(outer.kubectl.kubeconfig)
    outer.certificates = certificates


def unreachable(outer: OuterCluster, machines: Mapping[str, Machine], hosts: Sequence[str]) -> list[str]:
    """Why turns of these hosts cannot begin; a line each."""
    known = {host.name for host in outer.cluster.hosts if of_host(outer.cluster, host)}
    return [f"{name} is {machines[name].state()}" for name in hosts if name in known and not machines[name].state().has_power]


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for root alone, on this side."""
    made = Path(tempfile.mkdtemp(prefix="turn-", dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def _await(problem: Callable[[], str], within: float, what: str) -> None:
    """Ask until there is no problem. A machine that cannot be asked for a moment is one as well."""
    deadline = time.monotonic() + within
    while True:
        try:
            said = problem()
        except HarnessError as error:
            said = error.message.splitlines()[-1]
        if not said:
            return
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{what} within {within:g} s: {said}", hint="kubeception status, then rotate again")
        time.sleep(_POLL_SECONDS)
