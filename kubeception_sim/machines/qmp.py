"""QEMU's machine protocol for machines of a lab: the agents' client, whose errors are those of the testbed here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from kubeception_sim.agents.vm import qmp
from kubeception_sim.errors import DeadlineExceeded, HarnessError


class QmpError(HarnessError):
    """QEMU refused a command, closed the connection, or does not speak QMP."""


class Qmp(qmp.Qmp):
    """See `agents.vm.qmp.Qmp`."""

    def __enter__(self) -> Self:
        """Shake hands. Raises QmpError, or DeadlineExceeded when QEMU does not greet."""
        with _told_as_ours():
            return super().__enter__()

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command and return what it returned. Raises QmpError, or DeadlineExceeded when no answer comes."""
        with _told_as_ours():
            return super().execute(command, **arguments)


@contextmanager
def _told_as_ours() -> Iterator[None]:
    try:
        yield
    except qmp.QmpError as error:
        raise QmpError(str(error)) from error
    except qmp.QmpTimeout as error:
        raise DeadlineExceeded(str(error)) from error
