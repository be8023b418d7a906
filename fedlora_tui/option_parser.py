"""The reader of a command line: what is wrong with one is told in one line, with the option, and what to write."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Collection
from typing import Any, NoReturn

from fedlora_tui.config import Setting
from fedlora_tui.errors import UserError

LONGEST = 60
"""The most characters of a value that are said back."""

LEAST_LIKENESS = 0.6
"""How alike an option must be to one that is not there to be named as the nearest."""


class OptionParser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line, without the usage above it; `commands` go before options."""

    def __init__(self, *arguments: Any, commands: Collection[str] = (), **named: Any) -> None:
        named["allow_abbrev"] = False
        super().__init__(*arguments, **named)
        self._commands = commands

    def error(self, message: str) -> NoReturn:
        """Raise UserError in place of argparse's message. Where it says something else than here is known, that."""
        if found := re.fullmatch(r"argument (?:.*/)?(\S+): expected .*argument", message):
            raise UserError(f"{found[1]}: nothing stands behind it; write {self._written(found[1])}")
        if found := re.fullmatch(r"argument (?:.*/)?(\S+): ignored explicit argument (.*)", message):
            value = found[2].strip("'\"")
            raise UserError(f"{found[1]}={value}: nothing may stand behind it; write {self._written(found[1])}")
        if found := re.fullmatch(r"the following arguments are required: ([^ ,]+).*", message):
            raise UserError(f"{found[1]} is missing; write {self._written(found[1])}")
        if found := re.fullmatch(r"unrecognized arguments: (\S+)(.*)", message, re.DOTALL):
            self._refuse(found[1], found[2].split())
        raise UserError(f"{message}; see {self.prog} --help")

    def _refuse(self, word: str, further: list[str]) -> NoReturn:
        """Refuse a word that is expected nowhere."""
        if late := next((one for one in (word, *further) if one in self._commands), None):
            raise UserError(f"{late}: a command goes before all options, like {self.prog} {late} --help")
        if not word.startswith("-"):
            raise UserError(f"{word}: nothing is expected there; see {self.prog} --help")
        option = word.partition("=")[0]
        bare = {known.lstrip("-"): known for known in self._option_string_actions}
        close = difflib.get_close_matches(option.lstrip("-"), list(bare), 1, LEAST_LIKENESS)
        nearest = f"nearest is {bare[close[0]]}; " if close else ""
        raise UserError(f"{option}: no such option of {self.prog}; {nearest}see {self.prog} --help")

    def _written(self, name: str) -> str:
        """Give how an option is written and what it is for; of what has no option, what it may be."""
        action = self._option_string_actions.get(name)
        if action is None:
            action = next((one for one in self._actions if name in (one.metavar, one.dest)), None)
            return f"{self.prog} {name}, {action.help}" if action is not None else f"{self.prog} --help for more"
        value = f" {action.metavar}" if action.metavar and action.nargs != 0 else ""
        return f"{name}{value}, {action.help}"

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except UserError as error:
            value = arg_string if len(arg_string) <= LONGEST else f"{arg_string[:LONGEST]}..."
            raise UserError(f"{_named(action)} {value}: {error}") from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise UserError(f"{_named(action)} {value}: allowed are {', '.join(action.choices)}")


class Keep(argparse.Action):
    """Keeps `--set` and its short forms in the order given, so that the last one wins."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Keep one."""
        name, text = self.const, str(values)
        if name is None:
            name, separator, text = text.partition("=")
            if not separator:
                raise UserError(f"--set {values}: allowed is section.key=value, like --set lora.rank=8")
        place = f"--set {name}={text.strip()}" if self.const is None else f"{option_string} {text}"
        settings = [*getattr(namespace, self.dest), Setting(name.strip(), text.strip(), place)]
        setattr(namespace, self.dest, settings)


def _named(action: argparse.Action) -> str:
    return action.option_strings[-1] if action.option_strings else action.dest
