"""Run a scenario: bring the rack up, carry out the steps, judge, report, take everything down again.

runner.py     the plan, executed; teardown whatever happens
steps.py      what each step does and waits for
observer.py   mayu's events, folded into a timeline for each machine while other things go on
subject.py    `mayu serve` as a process and an HTTP server: nothing of it is imported
live.py       what a person sees meanwhile
standing.py   what the steps rest on, part by part

Labs that stay (docs/labs.md):
keeping.py    the keeper at work: holds what a run has brought up, answers, mends
keeper.py     what is known of labs from outside     wishes.py   asking their keepers
rotating.py   new certificates, for who asks for them
survey.py     what stands and how it is              ending.py   taking a lab down, whatever is left of it
"""

from kubeception_sim.scenario.runner import run

__all__ = ["run"]
