"""Faults in scenario files: what they mean, what is said about wrong ones, and what the kernel is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.document import Duration
from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.faults import Delay, Loss, Partition, Rate, Wire
from kubeception_sim.faults.fault import Fault
from kubeception_sim.model.faults import FaultKind, Inject, Share, Undo
from kubeception_sim.model.faults import Rate as Bits
from kubeception_sim.model.plan import plan
from kubeception_sim.model.rules import parse
from kubeception_sim.model.scenario import Scenario

SCENARIO = """\
schema: 1
name: small
driver: namespace
profiles:
  - {name: node, ignition: node.bu}
machines:
  - {name: m1, address: 10.77.0.11, profile: node}
  - {name: m2, address: 10.77.0.12, profile: node}
  - {name: m3, address: 10.77.0.13, profile: node}
steps:
  - {do: power-on}
"""
ONE = Wire("kc-00000000-fabric", "tap0", "52:54:00:4d:00:0b")
TWO = Wire("kc-00000000-fabric", "m5254004d010c", "52:54:00:4d:01:0c")


def scenario(*steps: str, text: str = SCENARIO) -> Scenario:
    return parse(text + "".join(f"  - {{{step}}}\n" for step in steps), "small.yaml")


def problems(*steps: str, text: str = SCENARIO) -> list[str]:
    """What is said about the steps, which begin at line 12, without file and severity."""
    with pytest.raises(BadInput) as caught:
        scenario(*steps, text=text)
    return [line.removeprefix("small.yaml:").replace(" error:", "") for line in caught.value.message.splitlines()[1:]]


def test_what_faults_mean_and_how_the_plan_tells_them() -> None:
    made = scenario(
        "do: fault, name: f1, kind: cut, machines: [m1]",
        "do: fault, name: f2, kind: partition, machines: [m1], from: [m2, m3]",
        "do: fault, name: f3, kind: partition, machines: [m2]",
        "do: fault, name: f4, kind: rate, machines: [m1, m2], rate: 1.5Mbit",
        "do: fault, name: f5, kind: loss, loss: 0.25%",
        "do: fault, name: f6, kind: delay, machines: [m3], delay: 20ms, jitter: 5ms, duplicate: 1%, reorder: 25%",
        "do: fault, name: f7, kind: pause, machines: [m1], unit: kubelet.service",
        "do: fault, name: f8, kind: kill, machines: [m3]",
        "do: undo, fault: f3",
    )
    assert made.steps[1] == Inject("fault", "f1", FaultKind.CUT, ("m1",))
    assert made.steps[4] == Inject("fault", "f4", FaultKind.RATE, ("m1", "m2"), rate=Bits(1_500_000))
    assert made.steps[6] == Inject(
        "fault",
        "f6",
        FaultKind.DELAY,
        ("m3",),
        delay=Duration(0.02),
        jitter=Duration(0.005),
        duplicate=Share(0.01),
        reorder=Share(0.25),
    )
    assert made.steps[-1] == Undo("undo", "f3")
    assert [part.title for _, part in plan(made).steps[1:]] == [
        "fault f1: cut m1",
        "fault f2: partition m1 from m2, m3",
        "fault f3: partition m2 from the rest",
        "fault f4: rate 1.5Mbit on m1, m2",
        "fault f5: loss 0.25% on all",
        "fault f6: delay 20ms, jitter 5ms, duplicate 1%, reorder 25% on m3",
        "fault f7: pause kubelet.service on m1",
        "fault f8: kill m3",
        "undo f3",
    ]


WRONG = {
    "no such kind": (["do: fault, name: a, kind: cuts"], "12: steps[1].kind: 'cuts' is none of"),
    "a misspelt key": (["do: fault, name: a, kind: rate, rat: 1Mbit"], "12: steps[1].rat: unknown key (did you mean 'rate'?)"),
    "no unit of a rate": (["do: fault, name: a, kind: rate, rate: 1M"], "12: steps[1].rate: '1M' is not a rate"),
    "too slow": (["do: fault, name: a, kind: rate, rate: 7kbit"], "12: steps[1].rate: '7kbit' is not a rate"),
    "no share": (["do: fault, name: a, kind: loss, loss: 0.3"], "12: steps[1].loss: '0.3' is not a share"),
    "more than all": (["do: fault, name: a, kind: loss, loss: 101%"], "12: steps[1].loss: '101%' is not a share"),
    "nothing": (["do: fault, name: a, kind: loss, loss: 0%"], "12: steps[1].loss: '0%' is not a share"),
    "a missing key": (["do: fault, name: a, kind: rate"], "12: steps[1]: rate needs 'rate'"),
    "one of two": (["do: fault, name: a, kind: delay"], "12: steps[1]: delay needs 'delay' or 'duplicate'"),
    "another kind's key": (["do: fault, name: a, kind: cut, loss: 3%"], "12: steps[1].loss: cut has no 'loss'"),
    "jitter of nothing": (
        ["do: fault, name: a, kind: delay, duplicate: 3%, jitter: 1ms"],
        "12: steps[1].jitter: jitter is of a delay, and there is none",
    ),
    "a name": (["do: fault, name: A B, kind: cut"], "12: steps[1].name: 'A B' is no name of a fault"),
    "no machine": (["do: fault, name: a, kind: cut, machines: [m9]"], "12: steps[1].machines[0]: no machine 'm9'"),
    "a taken name": (
        ["do: fault, name: a, kind: cut, machines: [m1]", "do: fault, name: a, kind: loss, loss: 3%"],
        "13: steps[2].name: a is active already (put a do: undo before it)",
    ),
    "undone twice": (
        ["do: fault, name: a, kind: cut", "do: undo, fault: a", "do: undo, fault: a"],
        "14: steps[3].fault: no fault 'a' is active at this point",
    ),
    "undone before": (["do: undo, fault: a"], "12: steps[1].fault: no fault 'a' is active at this point"),
    "one side only": (["do: fault, name: a, kind: partition"], "12: steps[1]: a partition needs 'machines'"),
    "no other side": (
        ["do: fault, name: a, kind: partition, machines: [m1, m2, m3]"],
        "12: steps[1].machines: nobody is left on the other side",
    ),
    "from itself": (
        ["do: fault, name: a, kind: partition, machines: [m1], from: [m2, m1]"],
        "12: steps[1].from[1]: 'm1' cannot be parted from itself",
    ),
    "from nobody": (["do: fault, name: a, kind: partition, machines: [m1], from: [x]"], "12: steps[1].from[0]: no machine 'x'"),
    "two queues": (
        ["do: fault, name: a, kind: rate, rate: 1Mbit", "do: fault, name: b, kind: delay, delay: 1ms, machines: [m2]"],
        "13: steps[2].machines: m2: a is active there, and a cable has one queue",
    ),
    "cut twice": (
        ["do: fault, name: a, kind: cut", "do: fault, name: b, kind: cut, machines: [m2]"],
        "13: steps[2].machines: m2: a is active there, and a cable is cut once",
    ),
    "no unit": (["do: fault, name: a, kind: kill, unit: kubelet"], "12: steps[1].unit: 'kubelet' is no unit"),
    "killed and awaited": (
        ["do: fault, name: a, kind: kill, machines: [m2]", "do: await, state: running, within: 1m"],
        "13: steps[2]: m2: not powered on at this point",
    ),
    "killed twice": (
        ["do: power-off, machines: [m1]", "do: fault, name: a, kind: kill, machines: [m1]"],
        "13: steps[2]: m1: not powered on at this point",
    ),
}


@pytest.mark.parametrize(("steps", "told"), WRONG.values(), ids=WRONG)
def test_what_is_said_about_wrong_faults(steps: list[str], told: str) -> None:
    (problem,) = problems(*steps)
    assert problem.startswith(told)


def test_machines_may_be_awaited_again_when_their_death_is_undone() -> None:
    scenario("do: fault, name: a, kind: kill", "do: undo, fault: a", "do: await, state: running, within: 1m")


def test_a_cable_may_be_bad_before_its_machine_is_on() -> None:
    text = SCENARIO.replace("  - {do: power-on}\n", "")
    scenario("do: fault, name: a, kind: loss, loss: 3%", "do: power-on", text=text)


def test_fakes_have_no_units() -> None:
    text = SCENARIO.replace("namespace", "fake")
    (problem,) = problems("do: fault, name: a, kind: pause, unit: kubelet.service", text=text)
    assert problem == "12: steps[1].unit: fake machines run no units (take another driver)"


def test_wrong_machines_do_not_make_faults_wrong() -> None:
    text = SCENARIO.replace("name: m2, address", "name: m2, adress")
    assert len(problems("do: fault, name: a, kind: cut, machines: [m2]", "do: undo, fault: a", text=text)) == 1


@given(st.integers(1, 10_000))
def test_shares_are_read_as_they_are_written(hundredths: int) -> None:
    share = Share(hundredths / 10_000)
    assert Share.parse(str(share)).fraction == pytest.approx(share.fraction, abs=1e-9)


@given(st.integers(8, 999_999), st.sampled_from([1_000, 1_000_000]))
def test_rates_are_read_as_they_are_written(number: int, unit: int) -> None:
    rate = Bits(number * unit)
    assert Bits.parse(str(rate)).bits == pytest.approx(rate.bits, rel=1e-5)


def test_a_partition_marks_what_comes_in_and_drops_what_is_to_leave() -> None:
    assert Partition("split", [ONE], [TWO]).text() == (
        "table bridge kubeception-split {\n"
        "  chain in {\n"
        "    type filter hook prerouting priority -300; policy accept;\n"
        '    meta mark set iifname map { "tap0" : 0x004d000b, "m5254004d010c" : 0x004d010c }\n'
        "  }\n"
        "  chain out {\n"
        "    type filter hook postrouting priority 300; policy accept;\n"
        '    oifname { "m5254004d010c" } meta mark { 0x004d000b } drop\n'
        '    oifname { "tap0" } meta mark { 0x004d010c } drop\n'
        "  }\n"
        "}\n"
    )


@pytest.mark.parametrize(("share", "chance"), [("0.01%", "<= 0"), ("30%", "<= 2999"), ("100%", "<= 9999")])
def test_a_share_is_counted_in_hundredths_of_a_percent(share: str, chance: str) -> None:
    assert Loss("lossy", [ONE], Share.parse(share)).text().count(f"numgen random mod 10000 {chance} drop") == 2


def test_the_bucket_of_a_rate_holds_four_frames_at_least() -> None:
    assert Rate([ONE], Bits(64_000)).discipline() == ("tbf", "rate", "64000bit", "burst", "6000b", "latency", "400ms")
    assert Rate([ONE], Bits(100_000_000)).discipline()[3:5] == ("burst", "250000b")


def test_a_delay_says_what_it_is_asked_to_and_no_more() -> None:
    assert Delay([ONE], 0.02).discipline() == ("netem", "limit", "100000", "delay", "20000us")
    all_of_it = Delay([ONE], 0.02, 0.005, Share(0.01), Share(0.25)).discipline()
    assert all_of_it[3:] == ("delay", "20000us", "5000us", "duplicate", "1%", "reorder", "25%")


class Stubborn(Fault):
    """Counts; cannot be broken, or restored, so many times."""

    def __init__(self, breaks: int = 0, restores: int = 0) -> None:
        super().__init__()
        self.fails = {"break": breaks, "restore": restores}
        self.done: list[str] = []

    def _break(self) -> None:
        self._try("break")

    def _restore(self) -> None:
        self._try("restore")

    def _try(self, what: str) -> None:
        self.done.append(what)
        self.fails[what] -= 1
        if self.fails[what] >= 0:
            raise HarnessError(what)


def test_what_cannot_be_broken_is_restored_and_not_active() -> None:
    fault = Stubborn(breaks=1)
    with pytest.raises(HarnessError, match="break"):
        fault.begin()
    assert (fault.done, fault.active) == (["break", "restore"], False)


def test_an_end_that_fails_may_be_tried_again_and_one_that_succeeded_is_not() -> None:
    fault = Stubborn(restores=1)
    fault.begin()
    with pytest.raises(HarnessError, match="restore"):
        fault.end()
    assert fault.active
    fault.end()
    fault.end()
    assert (fault.done, fault.active) == (["break", "restore", "restore"], False)
