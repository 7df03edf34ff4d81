"""Clients that ask for a file and never read it: `python -m benchmarks.stalled HOST PORT PATH COUNT`.

Writes a line once all have asked, and keeps them until its standard input ends.
"""

import socket
import sys


def main() -> None:
    """The command line."""
    host, port, path, count = sys.argv[1:]
    clients = []
    for _ in range(int(count)):
        client = socket.socket()
        # As little as the kernel allows: what it takes in unasked is not stalled.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        clients.append(client)
    for client in clients:
        client.recv(1)
    sys.stdout.write("stalled\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
