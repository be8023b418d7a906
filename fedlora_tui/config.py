"""config.toml -> frozen dataclasses; every error names its file, line, key, value and what is allowed.

The dataclasses of config_sections.py are the one list of keys: defaults, comments and bounds stand there and nowhere
else, and `to_toml` writes a commented file from them. Values are read as defaults (`EMBEDDED` over them where that is
the base), then the file, then flags and `--set` in the order given; the last one wins, and every one of them is
checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomli

from fedlora_tui.config_places import line_of, nearest, shown
from fedlora_tui.config_places import to_literal as to_literal
from fedlora_tui.config_rules import Rule
from fedlora_tui.config_sections import AuditConfig as AuditConfig
from fedlora_tui.config_sections import ConsoleConfig as ConsoleConfig
from fedlora_tui.config_sections import DataConfig as DataConfig
from fedlora_tui.config_sections import FederationConfig as FederationConfig
from fedlora_tui.config_sections import LoraConfig as LoraConfig
from fedlora_tui.config_sections import ModelConfig as ModelConfig
from fedlora_tui.config_sections import PrivacyConfig as PrivacyConfig
from fedlora_tui.config_sections import RunsConfig as RunsConfig
from fedlora_tui.config_sections import SuperlinkConfig as SuperlinkConfig
from fedlora_tui.errors import UserError
from fedlora_tui.fault_profiles import ALLOWED, SECTION, faults_lines, profile_of


@dataclass(frozen=True)
class Config:
    """The whole configuration. `given` names the keys (`section.key`) that a file or a flag set.

    `faults` has the fault of each organization that misbehaves, written out by `fault_profiles`.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    federation: FederationConfig = field(default_factory=FederationConfig)
    superlink: SuperlinkConfig = field(default_factory=SuperlinkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    faults: Mapping[str, str] = field(default_factory=dict)
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    runs: RunsConfig = field(default_factory=RunsConfig)
    given: frozenset[str] = frozenset()
    file: str = field(default="", compare=False)

    @property
    def organizations(self) -> int | None:
        """How many organizations were asked for, None where all that a source has take part."""
        if self.data.source != "synthetic" and "federation.organizations" not in self.given:
            return None
        return self.federation.organizations


@dataclass(frozen=True)
class Setting:
    """One value from a flag: `name` is section.key, `text` what the user typed, `flag` how he said it."""

    name: str
    text: str
    flag: str


SECTIONS: Mapping[str, type] = {
    "model": ModelConfig,
    "lora": LoraConfig,
    "federation": FederationConfig,
    "superlink": SuperlinkConfig,
    "data": DataConfig,
    "privacy": PrivacyConfig,
    "audit": AuditConfig,
    "console": ConsoleConfig,
    "runs": RunsConfig,
}
RULES: Mapping[str, Rule] = {
    f"{section}.{item.name}": item.metadata["rule"] for section, kind in SECTIONS.items() for item in fields(kind)
}

EMBEDDED: Mapping[str, Any] = {
    "federation.rounds": 60,
    "federation.local_steps": 4,
    "federation.batch_size": 2,
    "federation.learning_rate": 6e-3,
    "federation.server_optimizer": "fedavgm",
    "federation.server_momentum": 0.8,
    "federation.server_warmup": 10,
    "federation.server_cooldown": 0.5,
    "data.holdout_tokens": 512,
}
"""What is taken for keys that nobody set where the base is the embedded one: it is small and learns at high rates.

With many short rounds and a server that averages over rounds too, averaging comes close to pooling, as
`fedlora-tui bench quality` measures.
"""

STARTS_ANEW = ("flora", "flexlora", "fedsvd")
"""Methods whose rounds start from other factors than those sent: what `EMBEDDED` sets of the server is not for them.

`aggregation` says it of each, too; here it stands because a configuration is read before torch is loaded.
"""

KEYS_SECTION = "console.keys"
"""A key that is a table of its own in a file."""

LEFT_OUT = ("federation.organizations", *EMBEDDED)
"""Keys that the file in the repository leaves out: what they stand at depends on others."""


def load(path: Path | None, settings: Sequence[Setting] = ()) -> Config:
    """Read the file (None: defaults alone), then lay the settings over it. Raises UserError."""
    return _read_all([*_from_file(path), *_from_settings(settings)], path)


def parse(text: str, name: str) -> Config:
    """Read a configuration that came as text; `name` says in messages where it came from. Raises UserError."""
    return _read_all(_from_text(text, Path(name)), None)


def _read_all(given: Iterable[tuple[str, Any, str]], path: Path | None) -> Config:
    values: dict[str, Any] = {}
    where: dict[str, str] = {}
    for name, value, place in given:
        values[name] = _checked(name, value, place)
        where[name] = place
    own = dict(EMBEDDED) if values.get("model.base", ModelConfig.base) == "embedded" else {}
    if values.get("federation.aggregation") in STARTS_ANEW:
        own = {name: value for name, value in own.items() if not name.startswith("federation.server_")}
    config = replace(_built({**own, **values}), given=frozenset(values), file=str(path or ""))
    _check_together(config, where)
    return replace(config, runs=replace(config.runs, dir=os.path.expanduser(config.runs.dir)))


def _from_file(path: Path | None) -> Iterable[tuple[str, Any, str]]:
    if path is not None:
        yield from _from_text(_read(path), path)


def _from_text(text: str, path: Path) -> Iterable[tuple[str, Any, str]]:
    try:
        tables = tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None
    for section, table in tables.items():
        place = f"{path}:{line_of(text, section, None)}"
        if section not in SECTIONS and section != SECTION:
            if not isinstance(table, dict):
                raise UserError(f"{place}: {section} is not a key of any section{nearest(section, RULES)}")
            raise UserError(f"{place}: [{section}] is not a section{nearest(section, [*SECTIONS, SECTION])}")
        if not isinstance(table, dict):
            raise UserError(f"{place}: {section} = {shown(table)}: {section} is a section, write [{section}]")
        for name, value in table.items():
            yield f"{section}.{name}", value, f"{path}:{line_of(text, section, name)}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; name a configuration with -c, or leave -c out for the defaults"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _from_settings(settings: Sequence[Setting]) -> Iterable[tuple[str, Any, str]]:
    for setting in settings:
        try:
            value: Any = tomli.loads(f"value = {setting.text}")["value"]
        except (ValueError, RecursionError):
            value = setting.text
        rule = RULES.get(setting.name)
        plain = rule is not None and rule.kind is str and not (rule.is_list or rule.table)
        as_typed = plain and not isinstance(value, str)
        if as_typed or (setting.name.startswith(f"{SECTION}.") and not isinstance(value, str | dict)):
            value = setting.text
        yield setting.name, value, setting.flag


def _checked(name: str, value: Any, place: str) -> Any:
    section, _, own = name.partition(".")
    if section == SECTION and own:
        try:
            return profile_of(value).text
        except ValueError:
            raise UserError(f"{place}: {name} = {shown(value)}: allowed is {ALLOWED}") from None
    rule = RULES.get(name)
    if rule is None:
        raise UserError(f"{place}: {name} = {shown(value)}: {name} is not a key{nearest(name, [*RULES, SECTION])}")
    try:
        return rule.take(value)
    except ValueError:
        raise UserError(f"{place}: {name} = {shown(value)}: allowed is {rule.allowed}") from None


def _built(values: Mapping[str, Any]) -> Config:
    sections = {
        section: kind(
            **{f.name: values[f"{section}.{f.name}"] for f in fields(kind) if f"{section}.{f.name}" in values}
        )
        for section, kind in SECTIONS.items()
    }
    faults = {name.partition(".")[2]: own for name, own in values.items() if name.startswith(f"{SECTION}.")}
    return Config(**sections, faults=faults)


def _check_together(config: Config, where: Mapping[str, str]) -> None:
    federation, data = config.federation, config.data
    needed = {"folder": "the folder of text files", "table": "the file", "hub": "the dataset's id or folder"}
    if data.source in needed and not data.path:
        place = where.get("data.source", "data.source")
        raise UserError(f'{place}: data.source = "{data.source}" needs data.path, {needed[data.source]}; set data.path')
    if data.source == "synthetic" and data.path:
        place = where.get("data.path", "data.path")
        raise UserError(
            f'{place}: data.path = {shown(data.path)} is not read while data.source = "synthetic"; '
            f'set data.source = "folder", "table" or "hub" too, or leave data.path out'
        )
    if bool(data.prompt_field) != bool(data.response_field):
        place = where.get("data.prompt_field") or where["data.response_field"]
        raise UserError(f"{place}: data.prompt_field and data.response_field go together; set both or neither")
    if data.source in ("table", "hub") and not data.organization_field:
        place = where["data.organization_field"]
        raise UserError(f'{place}: data.source = "{data.source}" needs data.organization_field, the column of names')
    count = config.organizations
    if count is not None and count < federation.min_organizations:
        place = where.get("federation.organizations") or where.get("federation.min_organizations", "defaults")
        raise UserError(
            f"{place}: federation.organizations = {count} is fewer than federation.min_organizations = "
            f"{federation.min_organizations}: raise the first or lower the second"
        )


def to_toml(config: Config, unset: Sequence[str] = ()) -> str:
    """Write a whole configuration with a comment a key; the keys in `unset` are written as comments.

    Of those, what stands there is the default for the embedded base and for any other.
    """
    lines = ["# Every key of fedlora-tui with its value; --set section.key=value overrides any of them.", ""]
    for section, kind in SECTIONS.items():
        lines += [f"# {(kind.__doc__ or '').strip()}", f"[{section}]"]
        for item in fields(kind):
            name = f"{section}.{item.name}"
            if name == KEYS_SECTION:
                continue
            value = getattr(getattr(config, section), item.name)
            mark = "# " if name in unset else ""
            entry = f"{mark}{item.name} = {to_literal(value)}"
            lines.append(f"{entry:<32}  # {item.metadata['rule'].comment}{_embedded(name) if mark else ''}")
        lines.append("")
        if section == "console":
            lines += [*_keys_lines(config.console.keys), ""]
        if section == "privacy":
            lines += [*faults_lines({to_literal(name): to_literal(own) for name, own in config.faults.items()}), ""]
    return "\n".join(lines)


def _keys_lines(keys: Mapping[str, str]) -> list[str]:
    """Write the console's own table of keys, with an example where nothing is set."""
    return [
        f"# {RULES[KEYS_SECTION].comment.capitalize()}. Keys are space, p, [, ctrl+x or f2;",
        "# where an action has directions, one for each. Two actions on one key are an error.",
        f"[{KEYS_SECTION}]",
        *(f"{to_literal(name)} = {to_literal(text)}" for name, text in keys.items()),
        *([] if keys else ['# pause = "space p"', '# rank = "[ ]"                    # down, up']),
    ]


def _embedded(name: str) -> str:
    return f"; left out: {to_literal(EMBEDDED[name])} with the embedded base" if name in EMBEDDED else ""


def to_mapping(config: Config) -> dict[str, Any]:
    """Give the configuration as plain tables, for the journal."""
    tables = asdict(config)
    del tables["given"], tables["file"]
    return tables


def resolved(config: Config, organizations: int) -> Config:
    """Give the configuration as it can be used from any folder: with the number found, and whole paths.

    Without the operator's ready texts: what may be tried stands nowhere in a run.
    """
    given = config.given | {"federation.organizations"}
    return replace(
        config,
        model=replace(config.model, base=_whole_path(config.model.base)),
        data=replace(
            config.data,
            path=_whole_path(config.data.path),
            joined={name: _whole_place(place) for name, place in config.data.joined.items()},
        ),
        runs=replace(config.runs, dir=str(Path(config.runs.dir).absolute())),
        superlink=replace(config.superlink, certificate=_whole_path(config.superlink.certificate)),
        console=replace(config.console, prompts=()),
        federation=replace(config.federation, organizations=organizations),
        given=given,
    )


def _whole_path(text: str) -> str:
    """Make a path that is here whole; a hub id, "embedded" and nothing stay as they are."""
    path = Path(text).expanduser()
    return str(path.absolute()) if text not in ("", "embedded") and path.exists() else text


def _whole_place(place: str) -> str:
    kind, _, path = place.partition(":")
    return f"{kind}:{Path(path).expanduser().absolute()}" if kind == "folder" else place


def place_of_key(path: Path | None, settings: Sequence[Setting], action: str) -> str:
    """Say where an action's keys are set: by a flag, in a line of a file, or by a default."""
    flags = [setting.flag for setting in settings if setting.name == KEYS_SECTION]
    if flags:
        return flags[-1]
    return "defaults" if path is None else f"{path}:{line_of(_read(path), 'console', f'keys.{action}')}"
