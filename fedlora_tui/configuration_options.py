"""The options of every command that takes a configuration: the file, `--set`, and short forms of some keys."""

from __future__ import annotations

import argparse
from typing import Any

from fedlora_tui.config import Setting
from fedlora_tui.errors import UserError


class Keep(argparse.Action):
    """Keeps `--set` and its short forms in the order given, so that the last one wins."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        name, text = self.const, str(values)
        if name is None:
            name, separator, text = text.partition("=")
            if not separator:
                raise UserError(f"--set {values}: allowed is section.key=value, like --set lora.rank=8")
        place = f"--set {name}={text.strip()}" if self.const is None else f"{option_string} {text}"
        settings = [*getattr(namespace, self.dest), Setting(name.strip(), text.strip(), place)]
        setattr(namespace, self.dest, settings)


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
