"""The options of every command that takes a configuration: the file, `--set`, and short forms of some keys."""

from __future__ import annotations

import argparse
from typing import Any

from fedlora_tui.option_parser import Keep

SHORT_FORMS = {
    "--model": ("model.base", "BASE", '"embedded", a hub id, a folder or a .gguf file'),
    "--rounds": ("federation.rounds", "N", "rounds of the whole run"),
    "--rank": ("lora.rank", "N", "rank of the adapter"),
    "--orgs": ("federation.organizations", "N", "how many organizations take part"),
    "--seed": ("federation.seed", "N", "of data, adapters, batches and sampling"),
    "--name": ("runs.name", "NAME", "suffix of the run's id"),
    "--runs-dir": ("runs.dir", "DIR", "folder of run folders"),
}


def with_configuration(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options by which a configuration is chosen, and keys of it are overridden."""
    parser.add_argument("-c", "--config", metavar="FILE", help="configuration; ./config.toml where there is one")
    shared: dict[str, Any] = {"action": Keep, "dest": "settings", "default": []}
    parser.add_argument("--set", metavar="SECTION.KEY=VALUE", help="override one key (repeatable)", **shared)
    for flag, (name, value, text) in SHORT_FORMS.items():
        parser.add_argument(flag, metavar=value, help=f"{text} ({name})", const=name, **shared)
