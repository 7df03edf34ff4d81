"""A run with inner clusters, which the reports are tested with: one was made, some leaks, two failovers."""

from dataclasses import replace

from kubeception_sim.model.results import Creation, Failover, Leak, Reach, RunResult, Span
from tests.golden.report import runs

PROTOCOLS = ("icmp", "tcp", "udp")


def with_clusters(tenants: int = 5) -> RunResult:
    """passed(), with a creation, a matrix of which two cells are wrong, and two failovers, one of them explained."""
    machines = [f"customer{chr(97 + index)}/worker-{number}" for index in range(tenants) for number in range(2)]
    leaks = [
        _leak(source, target, protocol)
        for source in machines
        for target in machines
        for protocol in PROTOCOLS
        if source != target
    ]
    leaks[0] = replace(leaks[0], actual=Reach.CLOSED, detail="timed out")
    wrong = next(index for index, leak in enumerate(leaks) if leak.expected is Reach.CLOSED)
    leaks[wrong] = replace(leaks[wrong], actual=Reach.OPEN, packets=3, victim=leaks[wrong].target)
    return replace(runs.passed(), creations=(creation(),), leaks=tuple(leaks), failovers=failovers())


def creation() -> Creation:
    """Ready after 40 s."""
    marks = (("waiting", 10.0), ("init image", 13.0), ("init pki", 17.5), ("qemu", 19.0), ("kernel", 19.4), ("switch-root", 31.2))
    ends = [at for _, at in marks[1:]] + [48.0]
    spans = [
        Span(vm, name, at + late, end + late if end < 48.0 else end)
        for late, vm in ((0.0, "master-0"), (0.4, "worker-0"))
        for (name, at), end in zip(marks, ends, strict=True)
    ]
    return Creation("customera", 10.0, 50.0, (Span("", "Network", 10.0, 12.0), Span("", "ControlPlane", 10.0, 48.0), *spans))


def failovers() -> tuple[Failover, ...]:
    """One that is accounted for, and one whose spans tell of half of it."""
    spans = (Span("", "detected", 20.0, 23.0), Span("", "elected", 23.0, 24.1), Span("", "balancer", 24.1, 26.0))
    return Failover("kill master-0", spans, 6.2, 12), Failover("cut rack-2", spans, 12.0, 30)


def _leak(source: str, target: str, protocol: str) -> Leak:
    expected = Reach.OPEN if source.split("/")[0] == target.split("/")[0] else Reach.CLOSED
    return Leak(source, target, protocol, expected, expected, None if expected is Reach.OPEN else 0, target)
