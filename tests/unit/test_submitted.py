"""What is wrong with a SuperLink's address, certificate or name, or with what is submitted, is said in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedlora_tui.config import Config, SuperlinkConfig
from fedlora_tui.engine.race import Entry
from fedlora_tui.errors import UserError
from fedlora_tui.federation.superlink import Superlink
from fedlora_tui.submitted import only_one, submit
from tests.deployment import free_port


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


def test_a_race_is_refused():
    config = Config()
    deployed = replace(config, federation=replace(config.federation, runtime="superlink"))
    with pytest.raises(UserError, match="--race: not with"):
        only_one([Entry(deployed, "rank 2"), Entry(deployed, "rank 4")])
