"""What the face with a terminal makes of a configuration before its run begins."""

from __future__ import annotations

import os
from dataclasses import replace

from fedlora_tui import console_run
from fedlora_tui.engine.race import Entry
from tests.tiny_runs import configured, small_settings


def test_the_console_brings_readers_and_a_run_alone_does_not(tmp_path, monkeypatch):
    config = configured(small_settings(tmp_path))
    assert config.data.readers == "auto"
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    four = Entry(replace(config, data=replace(config.data, readers=4)))
    assert console_run.with_readers([Entry(config)]) == [four]
    told = [Entry(configured(small_settings(tmp_path), data__readers=0))]
    assert console_run.with_readers(told) is told
    race = [Entry(config, "rank 1"), Entry(config, "rank 2")]
    assert console_run.with_readers(race) is race


def test_the_console_names_the_file_of_its_settings_or_the_defaults(tmp_path):
    config = configured(small_settings(tmp_path))
    assert console_run._options(config, False).configuration == "defaults"
    assert console_run._options(replace(config, file="some/mine.toml"), False).configuration == "mine.toml"
