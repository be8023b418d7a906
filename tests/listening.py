"""What stands at the other end of a check: a server that answers as a SuperLink does, with any certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time

from fedlora_tui import __version__
from fedlora_tui.versions import FLOWER_HEADER, OWN_HEADER


@contextmanager
def listening(
    certificate: tuple[Path, Path] | None,
    flwr: str = "1.41.0",
    own: str = __version__,
    clock: float = 0.0,
    status: int = 200,
) -> Iterator[int]:
    """Answer GET /health on a port of its own, given; `certificate` is (certificate, key), None without TLS."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", formatdate(time() + clock, usegmt=True))
            self.send_header("Content-Length", "0")
            if own:
                self.send_header(FLOWER_HEADER, flwr)
                self.send_header(OWN_HEADER, own)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Who turns round at the door, as a check of a wrong certificate does, is no error."""

        def finish_request(self, request: socket.socket, address: object) -> None:
            if certificate is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*certificate)
                request = context.wrap_socket(request, server_side=True)
            super().finish_request(request, address)

    with Server(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
