"""A small HTTPS server that answers as an API server does: its name. `python api_server.py NAME PORT PEM`."""

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME, PORT, PEM = sys.argv[1:]


class Answer(BaseHTTPRequestHandler):
    """The name of the server, whatever is asked; with status 503 while a file says that it is not ready."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = NAME.encode()
        self.send_response(503 if Path(f"{PEM}.unready").exists() else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test says what happened."""


server = ThreadingHTTPServer(("0.0.0.0", int(PORT)), Answer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(PEM)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
