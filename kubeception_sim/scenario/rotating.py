"""New certificates for the outer cluster of a lab that is up: what is asked for, what is planned, what was done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from kubeception_sim.errors import BadInput, HarnessError, KubeceptionError
from kubeception_sim.giantnetes.bringup import OuterCluster
from kubeception_sim.giantnetes.components import ADMINISTRATOR
from kubeception_sim.giantnetes.hosts import Inside
from kubeception_sim.giantnetes.rotation import USERS, Step, files, held, title, users
from kubeception_sim.giantnetes.turning import Turning, unreachable
from kubeception_sim.pki.rotation import Held, Turn, due, plan, read
from kubeception_sim.scenario.bench import Bench

DUE_WITHIN = timedelta(days=10)
"""A certificate is due when it ends within this time: a third of its life is left then."""


class Which(StrEnum):
    """Which certificates are to become new."""

    DUE = "due"
    ALL = "all"


@dataclass(frozen=True)
class Wanted:
    """What is asked for: certain `components` on every host that has them, or without any, `which`."""

    which: Which = Which.DUE
    components: tuple[str, ...] = ()
    dry_run: bool = False

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> "Wanted":
        """From the arguments of a wish. Raises BadInput."""
        try:
            found = cls(Which(fields["which"]), tuple(fields["components"]), bool(fields["dry_run"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"not the arguments of a rotation: {error}") from error
        if unknown := set(found.components) - COMPONENTS:
            raise BadInput(f"no component {', '.join(sorted(unknown))}", hint=f"components: {', '.join(sorted(COMPONENTS))}")
        return found


@dataclass(frozen=True)
class CertificateNow:
    """A certificate. `present` is whether its host has this one: None when the host cannot be asked. `serial` is hex."""

    host: str
    component: str
    users: tuple[str, ...]
    subject: str
    serial: str
    not_after: str
    due: bool
    present: bool | None


COMPONENTS = frozenset(title(name) for name in USERS)


@dataclass
class Rotation:
    """The rotations of one lab. What one could not finish is part of the next, whatever that is asked for."""

    bench: Bench
    unfinished: set[tuple[str, str]] = field(default_factory=set)

    def certificates(self) -> list[CertificateNow]:
        """Every certificate of the cluster. Raises HarnessError for a lab without one."""
        found = []
        there = {host.name: self._on(host.name) for host in self._outer.cluster.hosts}
        late = set(self._due())
        for each in self._held():
            certificate = read(each.cert)
            where = there.get(each.host, {})
            present = read(where[each.name]) == certificate if where and each.name in where else None
            found.append(
                CertificateNow(
                    host="" if each.host == ADMINISTRATOR else each.host,
                    component=title(each.name),
                    users=users(each.name) if each.host != ADMINISTRATOR else ("kubeception kubectl",),
                    subject=certificate.subject.rfc4514_string(),
                    serial=f"{certificate.serial_number:x}",
                    not_after=certificate.not_valid_after_utc.isoformat(),
                    due=each in late,
                    present=True if each.host == ADMINISTRATOR else present,
                )
            )
        return found

    def carry_out(self, wanted: Wanted, say: Callable[[str], None]) -> Mapping[str, Any]:
        """Do it, or with `dry_run` only plan it; `say` is told the plan, then of each step. The answer to a wish.

        That is `ok` and `problem`; `plan` and `steps`, which were done, with the `seconds` they took.
        """
        answer: dict[str, Any] = {"ok": True, "problem": "", "plan": [], "steps": []}
        try:
            turns = plan(self._chosen(wanted), USERS)
            planned = [step for turn in turns for step in self._turning.plan(turn)]
            answer["plan"] = [asdict(step) for step in planned]
            if not wanted.dry_run:
                for step in planned:
                    say(f"           {step}")
                self._turn_all(turns, _Notes(answer["steps"], say))
        except KubeceptionError as error:
            return {**answer, "ok": False, "problem": "\n".join(filter(None, (error.message, error.hint)))}
        return answer

    def _turn_all(self, turns: Sequence[Turn], note: Callable[[Step, float], None]) -> None:
        if problems := unreachable(self._outer, self.bench.machines, [turn.host for turn in turns]):
            raise HarnessError("; ".join(problems), hint="kubeception up again starts what is off")
        self.unfinished |= {(turn.host, name) for turn in turns for name in turn.renewed}
        for turn in turns:
            self._turning.carry_out(turn, note)
            self.unfinished -= {(turn.host, name) for name in turn.renewed}

    @property
    def _outer(self) -> OuterCluster:
        if self.bench.outer is None:
            raise HarnessError(f"{self.bench.scenario.name} has no cluster", hint="a scenario with 'outer' has one")
        return self.bench.outer

    @property
    def _turning(self) -> Turning:
        bench = self.bench
        return Turning(self._outer, bench.machines, bench.mayu, bench.lab.directory, self._told)

    def _told(self, host: str, config: str) -> None:
        """From now on this is the config that the node must say it runs."""
        self.bench.observer.update(host, lambda line: replace(line, config_id=config))

    def _held(self) -> tuple[Held, ...]:
        certificates = self._outer.certificates
        return held(self._outer.cluster, certificates.hosts, certificates.admin_cert.read_text())

    def _due(self) -> tuple[Held, ...]:
        return due(self._held(), datetime.now(UTC) + DUE_WITHIN)

    def _chosen(self, wanted: Wanted) -> Sequence[Held]:
        every = self._held()
        if wanted.components:
            named = [each for each in every if title(each.name) in wanted.components]
        else:
            named = list(every) if wanted.which is Which.ALL else list(self._due())
        return [each for each in every if each in named or (each.host, each.name) in self.unfinished]

    def _on(self, host: str) -> dict[str, str]:
        """The certificates that a host has in its files, by name; none when it cannot be asked."""
        names = [each.name for each in self._held() if each.host == host]
        try:
            texts = Inside(self.bench.machines[host]).texts([str(files(name)[0]) for name in names])
        except HarnessError:
            return {}
        return {name: texts[path] for name in names if (path := str(files(name)[0])) in texts}


@dataclass(frozen=True)
class _Notes:
    """What was done, written down and told."""

    done: list[dict[str, Any]]
    say: Callable[[str], None]

    def __call__(self, step: Step, seconds: float) -> None:
        self.done.append({**asdict(step), "seconds": round(seconds, 3)})
        self.say(f"{seconds:7.1f} s  {step}")
