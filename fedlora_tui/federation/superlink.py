"""A SuperLink as who submits runs sees it: one is started there, and asked how it stands."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from flwr.cli.flower_config import read_superlink_connection
from flwr.cli.typing import SuperLinkConnection
from flwr.cli.utils import flwr_cli_exc_handler, init_http_client_from_connection
from flwr.common.constant import Status, SubStatus
from flwr.common.serde import fab_to_proto, run_from_proto, user_config_to_proto
from flwr.proto.control_pb2 import ListRunsRequest, StartRunRequest, StopRunRequest, StreamLogsRequest

from fedlora_tui.config_sections import SuperlinkConfig
from fedlora_tui.errors import UserError, one_line
from fedlora_tui.federation.bundle import bundle
from fedlora_tui.place import look
from fedlora_tui.protocol.printable import printable

CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Standing:
    """How a run of Flower's stands: whether it is over, whether it went well, and what is said of it."""

    over: bool
    well: bool
    said: str


class Superlink:
    """A connection to a SuperLink."""

    def __init__(self, config: SuperlinkConfig) -> None:
        """Raises UserError where the configuration names none, or none answers there."""
        self._connection = _connection(config)
        self.address = self._connection.address or ""
        _check_answers(self.address)
        # Flower's command line says with which SuperLink it speaks: standard output is for data.
        with _one_line(self.address), contextlib.redirect_stdout(io.StringIO()):
            self._client = init_http_client_from_connection(self._connection)

    def submit(self, run_config: Mapping[str, str | int]) -> int:
        """Start a run with its own configuration; give Flower's number of it. Raises UserError."""
        request = StartRunRequest(
            fab=fab_to_proto(bundle()),
            override_config=user_config_to_proto(dict(run_config)),
            federation=self._connection.federation or "",
        )
        with _one_line(self.address):
            answer = self._client.StartRun(request)
        if not answer.HasField("run_id"):
            why = printable(one_line(answer.note, None)) or "it says not why"
            raise UserError(f"the SuperLink at {self.address} took no run: {why}")
        return int(answer.run_id)

    def standing(self, run: int) -> Standing:
        """Tell how a run stands. Raises UserError where the SuperLink does not answer or knows no such run."""
        with _one_line(self.address):
            answer = self._client.ListRuns(ListRunsRequest(run_id=run))
        if run not in answer.run_dict:
            raise UserError(f"the SuperLink at {self.address} knows no run {run}")
        status = run_from_proto(answer.run_dict[run]).status
        over = status.status == Status.FINISHED
        return Standing(
            over, over and status.sub_status == SubStatus.COMPLETED, printable(one_line(status.details, None))
        )

    def stop(self, run: int) -> None:
        """End a run. Raises UserError."""
        with _one_line(self.address):
            self._client.StopRun(StopRunRequest(run_id=run))

    def lines(self, run: int) -> Iterator[str]:
        """Give what a run's ServerApp says, line by line as it comes, to its end. Raises UserError."""
        rest = ""
        with _one_line(self.address):
            for some in self._client.StreamLogs(StreamLogsRequest(run_id=run, after_timestamp=0.0)):
                *whole, rest = (rest + some.log_output).split("\n")
                # What another machine says is printed here, and not done by the terminal.
                yield from map(printable, whole)

    def close(self) -> None:
        """Leave."""
        self._client.close()


def _connection(config: SuperlinkConfig) -> SuperLinkConnection:
    if config.connection:
        with _one_line(config.connection):
            return read_superlink_connection(config.connection)
    if not config.address:
        raise UserError(
            'federation.runtime = "superlink": nothing says where the SuperLink is; set superlink.address to its '
            "HOST:PORT, or superlink.connection to a name in Flower's own configuration"
        )
    certificate = None
    if config.certificate:
        found = look(config.certificate, "superlink.certificate", "name the file of its certificate authority")
        if not found.exists or found.is_folder:
            raise UserError(f"superlink.certificate = {config.certificate!r}: no such file")
        certificate = str(Path(config.certificate).expanduser().absolute())
    return SuperLinkConnection("fedlora-tui", config.address, certificate, config.insecure)


def _check_answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"superlink.address = {address!r}: no SuperLink answers there ({why})") from None


@contextlib.contextmanager
def _one_line(where: str) -> Iterator[None]:
    """Put what Flower's command line raises into one line."""
    try:
        with flwr_cli_exc_handler():
            yield
    except click.ClickException as error:
        raise UserError(f"the SuperLink at {where}: {printable(one_line(error.message, None))}") from None
    except (ValueError, KeyError) as error:
        raise UserError(f"the SuperLink at {where}: {printable(one_line(error, None))}") from None
