"""One HTTP worker: Granian serving the front, or the admin face, on a listening socket that was bound before the fork."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from granian.constants import Interfaces
from granian.net import SocketHolder  # type: ignore[attr-defined]  # Its stub leaves it out.
from granian.server.mp import MPServer

from mayu_py.config import Config
from mayu_py.core.faces import AdminTls
from mayu_py.core.render import Renderer
from mayu_py.core.settings import Settings
from mayu_py.services.desk import Desk
from mayu_py.services.http import admin, pages, senders
from mayu_py.services.http.back import Back
from mayu_py.services.http.behind import Wsgi
from mayu_py.services.http.doors import Door
from mayu_py.services.http.front import Front
from mayu_py.services.http.replacing import Replacement
from mayu_py.services.http.replies import trouble
from mayu_py.services.http.watches import FOLLOW, Watches
from mayu_py.store.generations import request_reload

Face = Front | Back

_PR_SET_PDEATHSIG = 1
BACKLOG = 1024
# How long a connection may stay unread after it was accepted.
SETTLE_SECONDS = 0.3


def listen(address: str, port: int) -> socket.socket:
    """The socket that all HTTP workers accept from. Bound before they are forked, it outlives each of them. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def listen_address(settings: Settings) -> str:
    """Where the boot face listens: on the one network that mayu is on, or everywhere when there are several."""
    return str(settings.home.address) if len(settings.local) == 1 else "0.0.0.0"


class _Server(MPServer):
    """Granian on a socket that is bound already. It has this for Windows only, and binds one of its own elsewhere."""

    def __init__(self, listener: socket.socket, **options: Any) -> None:
        self._listener = listener
        super().__init__("mayu", **options)

    def _init_shared_socket(self) -> None:
        self._ssp: Any = None
        self._sso: Any = None
        self._sfd: Any = self._listener.fileno()
        holder: Any = SocketHolder  # Its stub knows of no arguments.
        self._shd: Any = holder(self._sfd, False, BACKLOG)

    def serving(self) -> int:
        """The pid of the process that serves."""
        worker: Any = self.wrks[0]
        return int(worker._id())


def serve(
    open_desk: Callable[[], Desk],
    listener: socket.socket,
    renderer: Renderer,
    stop_fd: int,
    ready: Callable[[], None],
) -> None:
    """Run the boot face until `stop_fd` is readable. Returns after Granian's own process has stopped."""

    def face(desk: Desk) -> Face:
        watching = Watches(desk)
        application = pages.application(desk, renderer)
        behind = Wsgi(application, senders.plain(desk.settings), trouble, {FOLLOW.lower(): watching})
        return Front(desk, renderer, behind, ready, watching.finish)

    _serve(open_desk, face, listener, listener, stop_fd)


def serve_admin(
    open_desk: Callable[[], Desk],
    listener: socket.socket,
    tls: AdminTls | None,
    served: Config,
    stop_fd: int,
    ready: Callable[[], None],
) -> None:
    """Run the admin face, as `serve` does. With TLS, Granian is behind the door, on a socket of the loopback."""
    behind = listener if tls is None else listen("127.0.0.1", 0)

    def face(desk: Desk) -> Face:
        door = Door(tls, listener, behind.getsockname()[1]) if tls is not None else None
        told = senders.plain(desk.settings) if door is None else senders.secured(desk.settings, door)
        application = admin.application(desk, served)
        application.extensions[admin.RELOAD] = Replacement(desk)
        application.extensions[admin.REREAD] = partial(request_reload, desk.store)
        return Back(desk, application, told, door, ready)

    _serve(open_desk, face, listener, behind, stop_fd)


def _serve(
    open_desk: Callable[[], Desk],
    face: Callable[[Desk], Face],
    outer: socket.socket,
    listener: socket.socket,
    stop_fd: int,
) -> None:
    """Run Granian on `listener` until `stop_fd` is readable; `outer` is where clients come in.

    A byte on it lets requests that have begun be finished, however long their answers are; its end gives them a few seconds.
    """
    parent = os.getpid()

    # Granian wants a callable; an object with `__rsgi__` is its documented other form.
    def load() -> Any:
        """Runs in Granian's process, a fork of this one: that is where threads and connections may be opened."""
        _die_with(parent)
        desk = open_desk()
        application = face(desk)
        desk.open()
        signal.signal(signal.SIGUSR1, lambda number, frame: _finish(outer, application))
        signal.signal(signal.SIGUSR2, lambda number, frame: application.finish())
        return application

    # The front closes over this process's state, which only a fork carries over.
    multiprocessing.set_start_method("fork", force=True)
    address, port = listener.getsockname()
    server = _Server(
        listener,
        address=address,
        port=port,
        interface=Interfaces.RSGI,
        workers=1,
        websockets=False,
        log_enabled=False,
        workers_kill_timeout=3,
    )
    threading.Thread(target=_stop_when, args=(stop_fd, server, outer), name="stop", daemon=True).start()
    server.serve(target_loader=load, wrap_loader=False)


def _stop_when(stop_fd: int, server: _Server, outer: socket.socket) -> None:
    """A byte: let the serving process finish; this one ends with it. The end of the pipe: stop."""
    while os.read(stop_fd, 1):
        outer.close()  # Or a port that is given up stays open until the last answer has been fetched.
        os.kill(server.serving(), signal.SIGUSR1)
    # Streams do not end by themselves, and Granian would wait for them until its patience is over.
    with contextlib.suppress(ProcessLookupError, IndexError):
        os.kill(server.serving(), signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGTERM)


def _finish(listener: socket.socket, application: Face) -> None:
    """Accept no more, and stop when everything accepted has been answered.

    Siblings accept from the same socket: it must not be shut down, only let go of. Closing its descriptor would leave the event
    loop watching it; another socket in its place, to which nobody connects, does not. A connection accepted just now has not
    been read from, and Granian would close it: it is given a moment.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as nobody:
        nobody.bind(("127.0.0.1", 0))
        nobody.listen(1)
        os.dup2(nobody.fileno(), listener.fileno(), inheritable=False)
    application.finish()
    moment = threading.Timer(SETTLE_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
    moment.daemon = True
    moment.start()


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when Granian's main process dies, even by SIGKILL (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
