"""One HTTP worker: Granian serving the front, on a port that all HTTP workers share (SO_REUSEPORT)."""

import ctypes
import errno
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from granian import Granian
from granian.constants import Interfaces

from mayu_py.core.render import Renderer
from mayu_py.core.settings import Settings
from mayu_py.errors import StartError
from mayu_py.services.desk import Desk
from mayu_py.services.http.behind import Wsgi
from mayu_py.services.http.front import Front
from mayu_py.services.http.pages import application

_PR_SET_PDEATHSIG = 1


def check_port(address: str, port: int) -> None:
    """Raise StartError when somebody listens there already: SO_REUSEPORT would silently share with a second mayu."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            hint = "is another mayu running?" if error.errno == errno.EADDRINUSE else "is the address up on this machine?"
            raise StartError(f"cannot listen on http {address}:{port}: {error.strerror}", hint=hint) from error


def listen_address(settings: Settings) -> str:
    """Where the boot face listens: on the one network that mayu is on, or everywhere when there are several."""
    return str(settings.home.address) if len(settings.local) == 1 else "0.0.0.0"


def serve(open_desk: Callable[[], Desk], settings: Settings, renderer: Renderer, stop_fd: int, ready: Callable[[], None]) -> None:
    """Run until `stop_fd` is readable. Returns after Granian's own process has stopped."""
    parent = os.getpid()

    # Granian wants a callable; an object with `__rsgi__` is its documented other form.
    def load() -> Any:
        """Runs in Granian's process, a fork of this one: that is where threads and connections may be opened."""
        _die_with(parent)
        desk = open_desk()
        desk.open()
        return Front(desk, renderer, Wsgi(application(desk)), ready)

    # The front closes over this process's state, which only a fork carries over.
    multiprocessing.set_start_method("fork", force=True)
    server = Granian(
        "mayu",
        address=listen_address(settings),
        port=settings.http.port,
        interface=Interfaces.RSGI,
        workers=1,
        websockets=False,
        log_enabled=False,
        workers_kill_timeout=3,
    )
    threading.Thread(target=_stop_when, args=(stop_fd,), name="stop", daemon=True).start()
    server.serve(target_loader=load, wrap_loader=False)


def _stop_when(stop_fd: int) -> None:
    os.read(stop_fd, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when Granian's main process dies, even by SIGKILL (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
