"""What is wrong with a SuperLink's address, certificate or name, or with what is submitted, is said in one line."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import click
import pytest
from flwr.common.constant import Status, SubStatus
from flwr.common.serde import run_to_proto
from flwr.proto.control_pb2 import ListRunsResponse, StartRunResponse, StreamLogsResponse
from flwr.supercore.run import Run, RunStatus

from fedlora_tui.config import Config, SuperlinkConfig
from fedlora_tui.engine.race import Entry
from fedlora_tui.errors import UserError
from fedlora_tui.federation.superlink import Superlink
from fedlora_tui.submitted import only_one, submit
from tests.deployment import free_port
from tests.listening import listening


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (SuperlinkConfig(), "nothing says where the SuperLink is; set superlink.address to its HOST:PORT"),
        (SuperlinkConfig(address="127.0.0.1"), "superlink.address = '127.0.0.1': no SuperLink answers there"),
        (SuperlinkConfig(address="127.0.0.1:port"), "superlink.address = '127.0.0.1:port': no SuperLink answers there"),
        (
            SuperlinkConfig(address="127.0.0.1:1", certificate="no/ca.crt"),
            "no/ca.crt': no such file",
        ),
        (SuperlinkConfig(connection="nowhere"), "the SuperLink at nowhere:"),
    ],
)
def test_a_connection_that_cannot_be_is_refused(config, words, tmp_path, monkeypatch):
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    with pytest.raises(UserError) as refused:
        Superlink(config)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_where_nobody_listens_is_said():
    config = Config(superlink=SuperlinkConfig(address=f"127.0.0.1:{free_port()}", insecure=True))
    with pytest.raises(UserError, match="no SuperLink answers there"):
        submit(Entry(config))


def test_what_a_superlink_says_is_printed_and_not_done_by_the_terminal(tmp_path, monkeypatch):
    evil, seen = "\x1b]0;owned\x07gone\n", "?]0;owned?gone"
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    with listening(None) as port:
        superlink = Superlink(SuperlinkConfig(address=f"127.0.0.1:{port}", insecure=True))

    def broken(request):
        raise click.ClickException(evil)

    failed = RunStatus(Status.FINISHED, SubStatus.FAILED, evil)
    superlink._client = SimpleNamespace(
        StartRun=lambda request: StartRunResponse(note=evil),
        ListRuns=lambda request: ListRunsResponse(
            run_dict={7: run_to_proto(replace(Run.create_empty(7), status=failed))}
        ),
        StreamLogs=lambda request: [StreamLogsResponse(log_output=evil)],
    )
    with pytest.raises(UserError, match=r"took no run: \?\]0;owned\?gone$"):
        superlink.submit({})
    assert superlink.standing(7).said == seen
    assert list(superlink.lines(7)) == [seen]
    superlink._client = SimpleNamespace(ListRuns=broken)
    with pytest.raises(UserError) as said:
        superlink.standing(7)
    assert str(said.value).isprintable()


def test_a_race_is_refused():
    config = Config()
    deployed = replace(config, federation=replace(config.federation, runtime="superlink"))
    with pytest.raises(UserError, match="--race: not with"):
        only_one([Entry(deployed, "rank 2"), Entry(deployed, "rank 4")])
