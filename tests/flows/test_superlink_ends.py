"""A SuperLink's server ends at ctrl+c though somebody follows a run, and says nothing of that."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

from tests.deployment import ROOT, eventually, free_port

SERVER = """
import asyncio, sys, uvicorn
from fedlora_tui.federation import superlink_face

async def follows(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"followed", "more_body": True})
    await asyncio.sleep(3600)

superlink_face.END_SECONDS = 1
superlink_face.end_soon()
superlink_face.speak_up()
superlink_face.say_ready("a:1", None)
uvicorn.run(follows, port=int(sys.argv[1]), lifespan="off")
"""


def test_a_request_that_is_open_keeps_the_server_from_ending_for_a_moment_alone() -> None:
    port = free_port()
    command = [sys.executable, "-c", SERVER, str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            with _connected(port) as follower:
                follower.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                heard = b""
                while b"followed" not in heard:
                    heard += follower.recv(4096)
                server.send_signal(signal.SIGINT)
                said, complained = server.communicate(timeout=120)
        finally:
            server.kill()
    assert said == "fedlora-tui: ready at a:1; INSECURE: any node is let in; ctrl+c ends it\n"
    assert complained == ""


def _connected(port: int) -> socket.socket:
    def connected() -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            return None

    found = eventually(connected, "a server that listens")
    assert isinstance(found, socket.socket)
    return found
