"""One host's way through a boot."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.model.boot import HostState, Stage
from kubeception_sim.model.results import Span
from kubeception_sim.model.timeline import FIRMWARE_SPAN, Event, Timeline

OFF = Timeline("rack-1", "KC-1")
ON = OFF.power_on(10.0)


def stage(at: float, name: str) -> Event:
    return Event(1, at, "KC-1", "stage", {"stage": name})


def state(at: float, to: str) -> Event:
    return Event(1, at, "KC-1", "state", {"from": "configured", "to": to})


def follow(line: Timeline, *events: Event) -> Timeline:
    for event in events:
        line = line.observe(event)
    return line


times = st.floats(min_value=0.0, max_value=1000.0, allow_nan=False)
stage_events = st.builds(stage, times, st.sampled_from([str(one) for one in Stage]))
histories = st.lists(stage_events).map(lambda events: sorted(events, key=lambda event: event.at))


def test_a_machine_without_power_is_off_whatever_is_said_of_it() -> None:
    assert follow(OFF, stage(11.0, "dhcp"), state(12.0, "running")) == OFF


def test_the_first_time_a_stage_is_seen_counts() -> None:
    line = follow(ON, stage(12.0, "dhcp"), stage(15.0, "dhcp"), stage(16.0, "tftp"))
    assert line.stages == {Stage.DHCP: 12.0, Stage.TFTP: 16.0}
    assert (line.since_power_on(Stage.DHCP), line.since_power_on(Stage.RUNNING)) == (2.0, None)


def test_what_was_before_the_power_on_does_not_count() -> None:
    assert ON.observe(stage(9.9, "running")) == ON


def test_a_stage_that_this_harness_does_not_know_is_no_news() -> None:
    assert ON.observe(stage(11.0, "coffee")) == ON
    assert ON.observe(Event(1, 11.0, "KC-1", "address", {})) == ON


def test_mayus_opinion_of_the_state_is_taken_over() -> None:
    assert follow(ON, state(11.0, "installing"), state(12.0, "running")).state is HostState.RUNNING


def test_a_host_that_boots_again_within_moments_runs_by_its_stage_alone() -> None:
    """mayu has not heard of the power-off: to it the host was running all the time, so there is no event of its state."""
    line = follow(ON, stage(12.0, "running"), state(12.0, "running")).power_on(13.0)
    assert line.state is HostState.CONFIGURED
    assert follow(line, stage(14.0, "running")).state is HostState.RUNNING


def test_a_host_that_says_it_failed_has_failed() -> None:
    line = ON.observe(Event(1, 30.0, "KC-1", "failed", {"text": "no config"}))
    assert (line.state, line.failure) == (HostState.FAILED, "no config")


@pytest.mark.parametrize("before", [HostState.RUNNING, HostState.FAILED, HostState.INSTALLING])
def test_the_next_boot_starts_afresh(before: HostState) -> None:
    earlier = replace(ON, state=before, failure="earlier", stages={Stage.RUNNING: 40.0})
    assert earlier.power_on(100.0) == replace(ON, powered_on=100.0)


def test_a_host_that_mayu_only_met_stays_merely_met() -> None:
    assert replace(ON, state=HostState.DISCOVERED).power_on(100.0).state is HostState.DISCOVERED


def test_spans_follow_on_each_other_from_power_on_to_the_end() -> None:
    line = follow(ON, stage(12.0, "dhcp"), stage(13.0, "tftp"))
    assert line.spans(20.0) == (
        Span("rack-1", FIRMWARE_SPAN, 10.0, 12.0),
        Span("rack-1", "dhcp", 12.0, 13.0),
        Span("rack-1", "tftp", 13.0, 20.0),
    )


def test_spans_end_with_the_power() -> None:
    assert follow(ON, stage(12.0, "dhcp")).power_off(15.0).spans(100.0)[-1] == Span("rack-1", "dhcp", 12.0, 15.0)


def test_a_machine_that_never_had_power_has_no_spans() -> None:
    assert OFF.spans(100.0) == ()


def test_the_last_stage_is_the_last_in_time_and_of_two_at_once_the_later_one() -> None:
    assert ON.last_stage is None
    assert follow(ON, stage(12.0, "http"), stage(12.0, "ipxe")).last_stage is Stage.HTTP
    assert follow(ON, stage(12.0, "http"), stage(13.0, "dhcp")).last_stage is Stage.DHCP


@given(histories)
def test_observing_a_history_twice_changes_nothing(events: list[Event]) -> None:
    once = follow(ON, *events)
    assert follow(once, *events) == once


@given(histories, times)
def test_spans_leave_no_gap_and_never_overlap(events: list[Event], until: float) -> None:
    line = follow(ON, *events)
    spans = line.spans(until)
    assert spans[0].start == line.powered_on
    assert all(earlier.end == later.start for earlier, later in pairwise(spans))
    assert all(span.seconds >= 0 for span in spans)
    assert len(spans) == 1 + len(line.stages)


@given(histories)
def test_no_stage_is_reached_before_power_on(events: list[Event]) -> None:
    line = follow(ON, *events)
    assert all((line.since_power_on(one) or 0.0) >= 0.0 for one in line.stages)
    assert (line.last_stage is None) == (not line.stages)
