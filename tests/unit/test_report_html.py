"""report.html: one page that tells it all, loads nothing, and runs nothing that a guest wrote."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.model.boot import Accelerator
from kubeception_sim.model.results import RunResult, StepResult
from kubeception_sim.report.html import as_html, seconds
from kubeception_sim.report.waterfall import Segment, waterfall
from tests.golden.report import runs

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """The page as a browser takes it apart: elements with attributes, text by the element it stands in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID and not (self.get_starttag_text() or "").endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not (self.get_starttag_text() or "").endswith("/>") or self.open[-1] == tag:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag: str) -> list[str]:
        return [text for inside, text in self.texts if inside == tag]


@pytest.fixture(params=["passed", "failed"])
def run(request: pytest.FixtureRequest) -> RunResult:
    return runs.passed() if request.param == "passed" else runs.failed()


def test_the_page_loads_nothing(run: RunResult) -> None:
    text = as_html(run)
    page = Page(text)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [found for _, found in page.elements if {"src", "href", "srcset", "action", "background"} & found.keys()]
    assert not re.findall(r"url\(|@import|https?://", text)


def test_the_page_forbids_itself_to_load_anything(run: RunResult) -> None:
    policies = [
        found["content"] for tag, found in Page(as_html(run)).elements if found.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_every_element_is_closed_where_it_was_opened(run: RunResult) -> None:
    assert Page(as_html(run)).open == []


def test_what_a_guest_writes_is_text() -> None:
    text = as_html(runs.failed())
    assert "<script" not in text
    assert runs.CONSOLE in Page(text).all("pre")


@pytest.mark.parametrize("field", ["scenario", "description", "error"])
def test_what_a_scenario_says_is_text(field: str) -> None:
    page = Page(as_html(replace(runs.passed(), **{field: "<img src=x onerror=alert(1)>"})))  # type: ignore[arg-type]
    assert "img" not in {tag for tag, _ in page.elements}
    assert any(text.startswith("<img") for _, text in page.texts)


@pytest.mark.parametrize("accelerator", Accelerator)
def test_the_accelerator_has_its_badge(accelerator: Accelerator) -> None:
    page = Page(as_html(replace(runs.passed(), accelerator=accelerator, driver="namespace")))
    badges = [found for tag, found in page.elements if "accelerator" in (found.get("class") or "")]
    assert len(badges) == 1
    # Without one, the driver says what the machines were.
    assert (accelerator.upper() if accelerator is not Accelerator.NONE else "namespace") in page.all("span")


def test_emulation_is_not_called_virtualisation() -> None:
    assert "nothing here was virtualised by hardware" in as_html(runs.passed())


def test_the_verdict_stands_beside_the_name() -> None:
    assert "pass" in Page(as_html(runs.passed())).all("span")
    assert Page(as_html(runs.failed())).all("title")[0] == "two-racks: fail"


def test_the_waterfall_has_a_row_per_machine_and_a_segment_per_stage() -> None:
    labels = [str(found["aria-label"]) for tag, found in Page(as_html(runs.passed())).elements if tag == "svg"]
    boot = "firmware {}, dhcp 0.25 s, tftp 2.8 s, ipxe 0.50 s, http {}, ignition {}, switch-root 8.0 s, running {}"
    assert labels == [
        "rack-1: " + boot.format("2.0 s", "6.5 s", "3.0 s", "27.0 s"),
        "rack-2: " + boot.format("13.5 s", "9.5 s", "6.0 s", "9.0 s"),
    ]


def test_a_passed_run_has_no_section_on_what_went_wrong() -> None:
    headings = Page(as_html(runs.passed())).all("h2")
    assert headings == ["Boot, from the first power-on", "Budgets", "Checks on the booted machines", "Steps"]


def test_a_failed_run_starts_with_what_went_wrong() -> None:
    page = Page(as_html(runs.failed()))
    assert page.all("h2") == ["What went wrong", "Boot, from the first power-on", "Budgets", "Steps"]
    assert page.all("h3") == ["await all running within 4m", "rack-2", "A budget was not met"]


def test_a_budget_alone_is_something_that_went_wrong() -> None:
    (budget, *rest) = runs.passed().budgets
    page = Page(as_html(replace(runs.passed(), budgets=(replace(budget, ok=False, measured=61.0), *rest))))
    assert page.all("h3") == ["A budget was not met"]
    assert "power-on to running, each on rack-1: 61.0 s, at most 60.0 s allowed" in page.all("p")


def test_a_failed_check_shows_its_assertion() -> None:
    (check, *rest) = runs.passed().checks
    page = Page(as_html(replace(runs.passed(), checks=(replace(check, outcome="failed", detail="assert 1 < 0"), *rest))))
    assert "assert 1 < 0" in page.all("pre")


def test_an_error_before_any_machine_had_power_makes_a_page_too() -> None:
    bare = replace(runs.passed(), hosts=(), spans=(), budgets=(), checks=(), steps=(), error="no namespace")
    page = Page(as_html(bare))
    assert "no namespace" in page.all("pre")
    assert "No machine was powered on." in page.all("p")


def test_the_axis_begins_at_the_first_power_on_and_ends_after_the_last_arrival() -> None:
    chart = waterfall(runs.passed())
    assert chart is not None
    assert (chart.origin, round(chart.length, 2)) == (10.0, 43.05)
    assert chart.rows[1].segments[0] == Segment("firmware", 0.5, 14.0, 13.5)


def test_a_long_wait_for_nothing_does_not_squeeze_the_rest() -> None:
    chart = waterfall(runs.failed())
    assert chart is not None
    stuck = chart.rows[1].segments[-1]
    assert (stuck.name, stuck.open, round(stuck.seconds, 1)) == ("http", True, 227.1)
    assert chart.length < 60.0


def test_what_the_harness_did_to_the_rack_is_marked_on_the_axis() -> None:
    chart = waterfall(runs.passed())
    assert chart is not None
    assert [(mark.at, mark.title) for mark in chart.marks] == [(4.0, "kill-worker tftp, back within 10s")]
    page = as_html(runs.passed())
    assert f'<span style="left:{100 * 4.0 / chart.length:.2f}%">kill-worker tftp, 4.0 s</span>' in page


def test_faults_are_marked_where_they_begin_and_end() -> None:
    steps = (StepResult("fault", "fault split: partition a from b, c", 14.0, 14.1), StepResult("undo", "undo split", 20.0, 20.1))
    chart = waterfall(replace(runs.passed(), steps=steps))
    assert chart is not None
    assert [(mark.at, mark.title) for mark in chart.marks] == [(4.0, "fault split: partition a from b, c"), (10.0, "undo split")]


def test_a_machine_that_stays_silent_is_drawn() -> None:
    silent = replace(runs.passed(), spans=(runs.passed().spans[0],))
    chart = waterfall(silent)
    assert chart is not None
    (segment,) = chart.rows[0].segments
    assert (segment.name, segment.start, segment.end, segment.open) == ("firmware", 0.0, 2.0, True)


@given(st.floats(0.0, 3600.0))
def test_no_segment_leaves_the_axis(until: float) -> None:
    spans = tuple(span for span in runs.failed().spans if span.start < until)
    chart = waterfall(replace(runs.failed(), spans=spans))
    for row in chart.rows if chart else ():
        assert all(0.0 <= one.start <= one.end <= chart.length for one in row.segments if chart)


@given(st.floats(0.1, 7_000.0), st.integers(2, 12))
def test_ticks_are_few_and_lie_on_the_axis(length: float, most: int) -> None:
    chart = waterfall(runs.passed())
    assert chart is not None
    ticks = replace(chart, length=length).ticks(most)
    assert ticks[0] == 0
    assert ticks[-1] <= length
    assert len(ticks) <= most


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.04, "0.04 s"), (7.31, "7.3 s"), (99.94, "99.9 s"), (124.2, "124 s"), (0.0, "0.00 s")]
)
def test_a_length_of_time_for_a_reader(value: float | None, text: str) -> None:
    assert seconds(value) == text
