"""Run a scenario: bring the rack up, carry out the steps, judge, report, take everything down again.

runner.py     the plan, executed; teardown whatever happens
steps.py      what each step does and waits for
observer.py   mayu's events, folded into a timeline for each machine while other things go on
subject.py    `mayu serve` as a process and an HTTP server: nothing of it is imported
live.py       what a person sees meanwhile
"""

from kubeception_sim.scenario.runner import run

__all__ = ["run"]
