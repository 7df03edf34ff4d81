"""`python -m kubeception_sim.agents.issue`: has this machine certified and writes its Ignition config.

BAO_ADDR, BAO_CACERT        environment: OpenBao's URL, and a file with its authority
/run/token/wrapped          the token, which opens once
/etc/vm/values.json         the variables of the role template, but for secrets and certificates
/etc/vm/wanted.json         what is asked for
/run/token/rotation         which rotation of the cluster's certificates the token is for
/run/config/config.ign      is written, for its owner alone; issued.json beside it says what is in it (record.py)

With the argument `renew` it runs beside the machine, and does it again with each further token, until SIGTERM.

It ends with 0 when the config is there, also from an earlier start; with 77 when somebody else has had the token, which starting
again does not mend; with 1 for the rest. Why is the container's termination message too (`kubectl describe pod`).
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ignition.document import DocumentError
from kubeception_sim.agents.issue.openbao import Away, OpenBao, Refused
from kubeception_sim.agents.issue.render import render
from kubeception_sim.agents.issue.step import Pairs, Place, Spent, Stolen, issue, renew
from kubeception_sim.agents.issue.wanted import Wanted

_log = logging.getLogger("kubeception.issue")

TOKEN, VALUES, MADE = Path("/run/token"), Path("/etc/vm"), Path("/run/config")
TEMPLATES = Path(__file__).parents[3] / "mayu_py/templates"
PATIENCE_SECONDS, LOOK_SECONDS = 300.0, 1.0
FAILED, STOLEN = 1, os.EX_NOPERM
_TERMINATION = Path("/dev/termination-log")


def main(environment: Mapping[str, str], *, root: Path = Path("/"), patience: float = PATIENCE_SECONDS) -> int:
    """The exit code. Every path but that of the templates is below `root`."""
    place = _place(root)
    try:
        wanted, bao = _asking(environment, place, patience)
        issue(place, wanted, bao, _of_role)
    except Stolen as error:
        return _ended(STOLEN, f"ALARM: {error}")
    except DocumentError as error:
        return _ended(FAILED, "\n".join(str(problem) for problem in error.problems))
    except KeyError as error:
        return _ended(FAILED, f"{error} is missing")
    except (Spent, Refused, Away, ValueError, OSError) as error:
        return _ended(FAILED, str(error))
    return 0


def renew_all(
    environment: Mapping[str, str], stop: threading.Event, *, root: Path = Path("/"), patience: float = PATIENCE_SECONDS
) -> None:
    """Look for a token again and again, until `stop` is set; what goes wrong is logged, and tried again."""
    place = _place(root)
    while not stop.wait(LOOK_SECONDS):
        try:
            renew(place, *_asking(environment, place, patience), _of_role)
        except DocumentError as error:
            _log.error("%s", "; ".join(str(problem) for problem in error.problems))
        except (Spent, Refused, Away, ValueError, OSError) as error:
            _log.error("%s", error)


def _place(root: Path) -> Place:
    below = {path: root / path.relative_to("/") for path in (TOKEN, VALUES, MADE)}
    return Place(below[TOKEN] / "wrapped", below[VALUES] / "values.json", below[MADE])


def _asking(environment: Mapping[str, str], place: Place, patience: float) -> tuple[Wanted, OpenBao]:
    wanted = Wanted.read(place.values.with_name("wanted.json").read_text())
    return wanted, OpenBao(environment["BAO_ADDR"], Path(environment["BAO_CACERT"]), wanted.namespace, patience=patience)


def _of_role(role: str, values: Mapping[str, object], pairs: Pairs) -> bytes:
    return render((TEMPLATES / f"giantnetes-{role}.bu").read_text(), values, pairs)


def _ended(code: int, message: str) -> int:
    _log.error("%s", message)
    # Not made where there is none: only a container has one.
    with suppress(OSError), _TERMINATION.open("r+") as file:
        file.write(message)
    return code


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    # The first process of a container is ended by no signal that it has not asked for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if sys.argv[1:] == ["renew"]:
        renew_all(os.environ, threading.Event())
    sys.exit(main(os.environ))
