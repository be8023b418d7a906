"""What all tests share: one time zone, so that clocks on screens are the same everywhere, and no network."""

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

# On a busy machine an example may take long, and to find one may: tests fail for what they say and not for how long
# they took. Their examples are the same each time, so that a change is judged by what it changes and never by the luck
# of a draw; `pytest --hypothesis-profile exploring` draws others.
PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("exploring", PATIENT)
hypothesis.settings.register_profile("house", PATIENT, derandomize=True, database=None)
hypothesis.settings.load_profile("house")

os.environ["TZ"] = "UTC"
time.tzset()

HERE = ("localhost", "127.0.0.1", "::1", None, "")


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Refuse every connection that would leave this machine, as a machine without a network does."""
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in HERE:
            raise OSError(f"tests do not reach the network: {address[0]}")
        connect(self, address)

    def resolve_here(host: Any, *arguments: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in HERE:
            raise socket.gaierror(socket.EAI_AGAIN, f"tests do not reach the network: {name}")
        return resolve(host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        patch.setattr(socket, "getaddrinfo", resolve_here)
        yield
