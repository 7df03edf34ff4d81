"""The only door to subprocess.

Four ways through it: `run` waits for a program and returns what it printed, `spawn` keeps one running for the length
of a `with` block, `detach` starts one that outlives us, `require` says how to install one that is missing. All take argv
lists (never a shell), start from a clean environment, give the child /dev/null for stdin and a session of its own, and log
the exact command line at DEBUG so that a person can paste it into a terminal.

**Who ends a child.** Each child leads its own process group, so Ctrl-C in the terminal reaches the harness alone, and
the harness decides. `run` kills the group when the time is up or when anything is raised. Leaving `spawn` stops the
leader with SIGTERM and then kills whatever is left of the group (systemd calls this KillMode=mixed). Should the harness
itself be killed, the kernel sends SIGTERM to every spawned leader (PR_SET_PDEATHSIG). That signal is tied to the
*thread* that forked, not to the process, so children are forked by one thread that lives as long as the interpreter:
what a short-lived worker thread spawned outlives that worker. The death signal reaches leaders only; `kubeception gc`
finds what else may be left.
"""

from kubeception_sim.run.ending import Completed, run
from kubeception_sim.run.lasting import Process, spawn
from kubeception_sim.run.line import require
from kubeception_sim.run.outliving import Detached, detach

__all__ = ["Completed", "Detached", "Process", "detach", "require", "run", "spawn"]
