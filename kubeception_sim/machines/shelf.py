"""A few files over HTTP, for a machine that boots directly and must still fetch what a server would give it.

    python -m kubeception_sim.machines.shelf ADDRESS FD NAME=PATH...

listens at a free port of ADDRESS, writes its number and a newline to the descriptor FD, and serves each file as /NAME.
"""

import os
import shutil
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main() -> None:
    """Serve until killed."""
    address, descriptor, *words = sys.argv[1:]
    files = {f"/{name}": Path(path) for name, _, path in (word.partition("=") for word in words)}
    with ThreadingHTTPServer((address, 0), _handler(files)) as server:
        with open(int(descriptor), "w", encoding="ascii") as ready:
            ready.write(f"{server.server_address[1]}\n")
        server.serve_forever()


def _handler(files: dict[str, Path]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = files.get(self.path)
            if path is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            with path.open("rb") as file:
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
                self.end_headers()
                shutil.copyfileobj(file, self.wfile)

    return Handler


if __name__ == "__main__":
    main()
