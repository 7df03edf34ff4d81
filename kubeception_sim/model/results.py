"""What a run found out. Times are seconds since the start of the run, on one clock, unless a field says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kubeception_sim.model.boot import Accelerator, Firmware, HostState, Stage

SCHEMA = 1


class Verdict(StrEnum):
    """How a run ended. `fail` speaks of the subject under test, `error` of the harness or the environment."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"

    @property
    def exit_code(self) -> int:
        """The exit code of `kubeception run`."""
        return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.ERROR: 2}[self]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time. `host` is a machine's name, or empty for the run's own steps."""

    host: str
    name: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step that was carried out. `do` is its verb; `ok` is False when the subject under test failed it."""

    do: str
    title: str
    start: float
    end: float
    ok: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HostResult:
    """One machine at the end of the run. `stages` are in seconds since its last power-on.

    `failure` is what the host said of itself, or how it missed a deadline; `console` is the end of its serial console,
    kept only for a host with a failure.
    """

    name: str
    serial: str
    firmware: Firmware
    state: HostState
    stages: Mapping[Stage, float] = field(default_factory=dict)
    failure: str = ""
    console: str = ""
    role: str = ""

    @property
    def kind(self) -> str:
        """What it is, in a word: its role in a cluster, or else its firmware."""
        return self.role or str(self.firmware)


@dataclass(frozen=True, slots=True)
class BudgetResult:
    """One budget, judged. `measured` is None when a host it speaks of never got there; `host` is empty for a statistic
    over several hosts."""

    metric: str
    host: str
    limit: float
    measured: float | None
    ok: bool


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One test of one checks file on one host. `detail` is the assertion's text; `error` means it could not run."""

    host: str
    name: str
    file: str
    seconds: float
    outcome: str  # passed, failed, error or skipped
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Only what ran and held is ok: a skipped check proves nothing."""
        return self.outcome == "passed"


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a probe had no success."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a probe saw from `start` to `end`. `problem` is what its last failed attempt said."""

    name: str
    attempts: int
    failures: int
    gaps: tuple[Gap, ...]
    problem: str = ""
    start: float = 0.0
    end: float = 0.0

    @property
    def outage(self) -> float:
        """The longest gap, in seconds."""
        return max((gap.seconds for gap in self.gaps), default=0.0)


@dataclass(frozen=True, slots=True)
class Creation:
    """How an inner cluster came to be. A span's host is one of its machines, or empty for what is the cluster's own.

    `asked` is when the outer API was asked for it; `ready` when it was seen Ready, None when it never was.
    """

    cluster: str
    asked: float
    ready: float | None
    spans: tuple[Span, ...] = ()


class Reach(StrEnum):
    """Whether somebody gets somewhere."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Leak:
    """One cell of a leak matrix: `source` tries `target` by `protocol`.

    `source` is who tries (`customera/worker-0`), `target` what (`customerb/master-0 :6443`), `victim` whose bridge was
    watched, which may be empty. `packets` of it were counted there; None where nobody counts.
    """

    source: str
    target: str
    protocol: str  # icmp, tcp, udp, arp or https (a door that asks who one is)
    expected: Reach
    actual: Reach
    packets: int | None = None
    victim: str = ""
    detail: str = ""

    @property
    def ok(self) -> bool:
        """As expected; and where nothing is to come through, no packet did."""
        return self.actual is self.expected and (self.expected is Reach.OPEN or not self.packets)


@dataclass(frozen=True, slots=True)
class Failover:
    """What became of a fault: `spans` follow each other without a gap, from the fault until a client is answered again.

    `outage` is what the client saw, in seconds; `failed` of its requests failed.
    """

    fault: str
    spans: tuple[Span, ...]
    outage: float
    failed: int
    tolerance: float = 0.1

    @property
    def attributed(self) -> float:
        """The seconds that the spans tell of."""
        return sum(span.seconds for span in self.spans)

    @property
    def ok(self) -> bool:
        """Whether the spans sum to the outage, within `tolerance` of it."""
        return bool(self.spans) and abs(self.attributed - self.outage) <= self.tolerance * self.outage


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything a run found out. `started_at` is ISO 8601 in UTC; `seconds` covers bring-up to the end of teardown."""

    scenario: str
    description: str
    started_at: str
    seconds: float
    accelerator: Accelerator
    hosts: tuple[HostResult, ...] = ()
    budgets: tuple[BudgetResult, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    steps: tuple[StepResult, ...] = ()
    spans: tuple[Span, ...] = ()
    error: str = ""
    driver: str = "qemu"
    probes: tuple[ProbeResult, ...] = ()
    creations: tuple[Creation, ...] = ()
    leaks: tuple[Leak, ...] = ()
    failovers: tuple[Failover, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """An error outranks a failure: with a broken harness nothing is known about the subject."""
        if self.error:
            return Verdict.ERROR
        judged = [step.ok for step in self.steps]
        judged += [budget.ok for budget in self.budgets]
        judged += [check.ok for check in self.checks]
        judged += [leak.ok for leak in self.leaks]
        judged += [failover.ok for failover in self.failovers]
        return Verdict.PASS if judged and all(judged) else Verdict.FAIL
