"""config.toml -> frozen dataclasses; every error names its file, line, key, value and what is allowed.

The dataclasses below are the one list of keys: defaults, comments and bounds stand here and nowhere else, and
`to_toml` writes a commented file from them. Values are read as defaults (`EMBEDDED` over them where that is the base),
then the file, then flags and `--set` in the order given; the last one wins, and every one of them is checked.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomli

from fedlora_tui.config_rules import Rule, key
from fedlora_tui.errors import UserError
from fedlora_tui.fault_profiles import ALLOWED, SECTION, faults_lines, profile_of


@dataclass(frozen=True)
class ModelConfig:
    """The frozen base model."""

    base: str = key("embedded", '"embedded", a Hugging Face id ("gpt2"), a folder, or a .gguf file')
    dtype: str = key(
        "auto",
        "number format of the base; auto: bfloat16 on a GPU that has it, else float32",
        words=("auto", "float32", "bfloat16", "float16"),
    )
    device: str = key("auto", '"auto", "cpu", "cuda" (all GPUs), "cuda:0" (this one), "mps"')
    max_length: int = key(128, "tokens a row; longer documents are cut into consecutive pieces", least=8, most=131072)
    quantization: str = key(
        "none", "the base's weights in 8 or 4 bits, by bitsandbytes (an extra)", words=("none", "8bit", "4bit")
    )
    gradient_checkpointing: bool = key(False, "compute each layer twice instead of keeping what it computed")


@dataclass(frozen=True)
class LoraConfig:
    """The adapter that every organization trains."""

    rank: int | Mapping[str, int] = key(
        4,
        'columns of B and rows of A in every target module; or { default = 8, "pharmacy-2" = 2 }',
        int,
        by_organization=True,
        least=1,
        most=1024,
    )
    alpha: float = key(8.0, "the product B A is scaled by alpha/rank", above=0.0, most=1e6)
    dropout: float = key(0.0, "share of an adapter's inputs that training drops", least=0.0, below=1.0)
    target_modules: str | tuple[str, ...] = key(
        "auto",
        "which layers carry an adapter; auto: by architecture; all-linear: all but the head",
        str,
        words=("auto", "all-linear"),
        listed=True,
    )
    rank_pattern: Mapping[str, int] = key(
        {}, 'rank of some modules, by name or pattern: { "attn.c_proj" = 2 }', int, table=True, least=1, most=1024
    )
    alpha_pattern: Mapping[str, float] = key(
        {}, "alpha of some modules; the others' is alpha, whatever their rank", float, table=True, above=0.0, most=1e6
    )

    @property
    def default_rank(self) -> int:
        """The rank of all organizations that have none of their own; alpha is meant for it."""
        return self.rank if isinstance(self.rank, int) else self.rank["default"]

    @property
    def own_ranks(self) -> dict[str, int]:
        """The ranks that organizations have by their names."""
        named = {} if isinstance(self.rank, int) else self.rank
        return {name: rank for name, rank in named.items() if name != "default"}

    def rank_of(self, organization: str) -> int:
        """Give the rank at which an organization trains; every scale is alpha over the default rank all the same."""
        return self.own_ranks.get(organization, self.default_rank)

    @property
    def highest_rank(self) -> int:
        """The rank of the global adapter."""
        return max(self.default_rank, *self.own_ranks.values()) if self.own_ranks else self.default_rank


@dataclass(frozen=True)
class FederationConfig:
    """Who trains how long, and how replies become one adapter."""

    organizations: int = key(
        8, "how many take part; left out: 8 synthetic ones, or all that a source has", least=1, most=100_000
    )
    rounds: int = key(20, "rounds of the whole run", least=1, most=1_000_000)
    fraction: float = key(1.0, "share of the organizations that trains in a round", above=0.0, most=1.0)
    local_steps: int = key(8, "optimizer steps of an organization in a round", least=1, most=1_000_000)
    local_epochs: int = key(
        0, "passes over an organization's data in a round, instead of steps; 0: use steps", least=0, most=10_000
    )
    batch_size: int = key(4, "rows a step", least=1, most=65_536)
    learning_rate: float = key(1e-3, "AdamW's rate, constant", above=0.0, most=10.0)
    clip_norm: float = key(0.0, "longest gradient a step, over all factors; 0: not clipped", least=0.0, most=1e9)
    min_organizations: int = key(2, "with fewer the run pauses and says so", least=1, most=100_000)
    fraction_evaluate: float = key(
        1.0,
        "share of the organizations that measures its hold-out; above 256 a fixed sample of 256",
        above=0.0,
        most=1.0,
    )
    seed: int = key(7, "of data, adapters, batches and sampling", least=0, most=2**63 - 1)
    runtime: str = key("local", "where organizations run: all in this process", words=("local",))
    cohort: str | int = key(
        "auto",
        "organizations trained in one pass; auto: as many as fit in free memory and fill a pass",
        int,
        words=("auto",),
        least=1,
        most=100_000,
    )
    aggregation: str = key(
        "fedit",
        "how replies become one adapter; docs/methods.md says what each does",
        words=("fedit", "ffa", "rolora", "flora", "fedex", "flexlora", "hetlora", "fair", "fedsa", "fedsvd"),
    )
    server_optimizer: str = key(
        "none",
        "what the server makes of the round's mean update",
        words=("none", "fedavgm", "fedadam", "fedyogi", "fedadagrad"),
    )
    server_learning_rate: float = key(
        1.0, "how far the server goes; fedadam, fedyogi and fedadagrad want about 0.01", above=0.0, most=10.0
    )
    server_momentum: float = key(0.9, "share of its last move that a server optimizer keeps", least=0.0, below=1.0)
    server_warmup: int = key(
        0, "fedavgm: rounds over which its momentum grows to that; 0: whole at once", least=0, most=1_000_000
    )
    server_cooldown: float = key(
        0.0, "share of the rounds, the last ones, over which the server's rate falls to nothing", least=0.0, most=1.0
    )
    server_decay: float = key(0.99, "fedadam, fedyogi: share of the mean square that is kept", least=0.0, below=1.0)
    server_tau: float = key(
        1e-3, "fedadam, fedyogi, fedadagrad: what the root of the mean square is added to", above=0.0, most=1e3
    )
    proximal_mu: float = key(0.0, "FedProx: pull toward the round's start; 0: off", least=0.0, most=1e6)
    robust: str = key(
        "none",
        "a defence against bad replies",
        words=("none", "median", "trimmed-mean", "krum", "multi-krum", "bulyan", "geometric-median", "norm-bound"),
    )
    byzantine: int = key(0, "bad replies a round that the defence must bear", least=0, most=100_000)
    min_replies: int = key(
        1, "with fewer usable replies a round is not aggregated: the run pauses", least=1, most=100_000
    )
    deadline: float = key(
        0.0, "seconds after which a round's replies are late and left out; 0: none", least=0.0, most=1e7
    )
    oversample: float = key(
        0.0,
        "share of organizations sampled beyond the fraction; a round ends when enough replied",
        least=0.0,
        most=10.0,
    )
    divergence_margin: float = key(
        0.1,
        "nats by which the hold-out loss is above the base's, two rounds running, before the run pauses; 0: never",
        least=0.0,
        most=1e6,
    )
    quarantine_after: int = key(
        2,
        "rounds in a row without a usable reply, then an organization is in quarantine; 0: never",
        least=0,
        most=10_000,
    )


@dataclass(frozen=True)
class DataConfig:
    """Where the organizations' private text comes from."""

    source: str = key(
        "synthetic",
        "invented records of different trades, a folder, one table, or a Hugging Face dataset",
        words=("synthetic", "folder", "table", "hub"),
    )
    path: str = key("", "folder: a file or sub-folder an organization; table: one file; hub: a dataset's id or folder")
    text_field: str = key("text", "field or column of .jsonl, .csv, .parquet and datasets that holds the text")
    prompt_field: str = key("", "field that asks; with response_field, instead of text_field")
    response_field: str = key("", "field that answers; the loss is on it alone")
    organization_field: str = key("organization", "column of a table or dataset that says whose row it is")
    subset: str = key("", "of a dataset on the hub that has several")
    split: str = key("train", "of a dataset on the hub")
    max_megabytes: int = key(
        64, "most MiB of text an organization keeps; what comes after is not read", least=1, most=1_000_000
    )
    readers: str | int = key(
        "auto", "processes that read many texts ahead; auto: beside a console", int, words=("auto",), least=0, most=64
    )
    joined: Mapping[str, str] = key(
        {},
        'organizations that may join though their text lies elsewhere: { clinic = "folder:/data/clinic" }',
        str,
        table=True,
        pattern=r"(folder|hub):\S.*",
    )
    partition: str = key(
        "natural",
        "natural: each keeps its own text; the others deal all text out anew",
        words=("natural", "iid", "dirichlet", "quantity"),
    )
    dirichlet_alpha: float = key(
        0.5, "dirichlet: small gives each organization few labels, large makes all alike", above=0.0, most=1e6
    )
    quantity_skew: float = key(
        1.0, "quantity: the n-th has a share of n to the minus this; 0: all equal", least=0.0, most=5.0
    )
    label_field: str = key("", "dirichlet: field or column that holds labels; left out: file or trade")
    packing: bool = key(True, "plain text fills whole rows, several documents in one; false: each has rows of its own")
    holdout: float = key(0.1, "share of the documents that is kept from training, to measure on", above=0.0, most=0.9)
    holdout_tokens: int = key(4096, "most target tokens an organization measures on", least=16, most=10_000_000)


@dataclass(frozen=True)
class PrivacyConfig:
    """Protection of the organizations' updates."""

    mechanism: str = key("none", "the server sees each organization's update", words=("none",))


@dataclass(frozen=True)
class ConsoleConfig:
    """How the console looks and how often it paints."""

    refresh_hz: str | float = key(
        "auto", "repaints a second; auto: 4 here, 2 over SSH", float, words=("auto",), least=0.2, most=30.0
    )
    theme: str = key("dark", "colours", words=("dark", "light"))
    bell: bool = key(True, "ring at done, failed and paused by itself")
    prompts: tuple[str, ...] = key((), "texts ready to be tried, before those that come along", str, texts=True)
    keys: Mapping[str, str] = key(
        {},
        "other keys for actions, by the names that the box of commands (:) lists",
        str,
        table=True,
    )


@dataclass(frozen=True)
class RunsConfig:
    """Where runs are kept."""

    dir: str = key("runs", "folder of run folders")
    keep_full: int = key(3, "newest rounds with all that a resume needs; adapters stay of all", least=1, most=10_000)
    name: str = key("", "suffix of the run's id; left out: random letters", pattern=r"[A-Za-z0-9._-]{0,40}")


@dataclass(frozen=True)
class Config:
    """The whole configuration. `given` names the keys (`section.key`) that a file or a flag set.

    `faults` has the fault of each organization that misbehaves, written out by `fault_profiles`.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    federation: FederationConfig = field(default_factory=FederationConfig)
    data: DataConfig = field(default_factory=DataConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
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
    "data": DataConfig,
    "privacy": PrivacyConfig,
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
    values: dict[str, Any] = {}
    where: dict[str, str] = {}
    for name, value, place in [*_from_file(path), *_from_settings(settings)]:
        values[name] = _checked(name, value, place)
        where[name] = place
    own = dict(EMBEDDED) if values.get("model.base", ModelConfig.base) == "embedded" else {}
    if values.get("federation.aggregation") in STARTS_ANEW:
        own = {name: value for name, value in own.items() if not name.startswith("federation.server_")}
    config = replace(_built({**own, **values}), given=frozenset(values), file=str(path or ""))
    _check_together(config, where)
    return replace(config, runs=replace(config.runs, dir=os.path.expanduser(config.runs.dir)))


def _from_file(path: Path | None) -> Iterable[tuple[str, Any, str]]:
    if path is None:
        return
    text = _read(path)
    try:
        tables = tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None
    for section, table in tables.items():
        place = f"{path}:{_line_of(text, section, None)}"
        if section not in SECTIONS and section != SECTION:
            if not isinstance(table, dict):
                raise UserError(f"{place}: {section} is not a key of any section{_nearest(section, RULES)}")
            raise UserError(f"{place}: [{section}] is not a section{_nearest(section, [*SECTIONS, SECTION])}")
        if not isinstance(table, dict):
            raise UserError(f"{place}: {section} = {_shown(table)}: {section} is a section, write [{section}]")
        for name, value in table.items():
            yield f"{section}.{name}", value, f"{path}:{_line_of(text, section, name)}"


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
            raise UserError(f"{place}: {name} = {_shown(value)}: allowed is {ALLOWED}") from None
    rule = RULES.get(name)
    if rule is None:
        raise UserError(f"{place}: {name} = {_shown(value)}: {name} is not a key{_nearest(name, RULES)}")
    try:
        return rule.take(value)
    except ValueError:
        raise UserError(f"{place}: {name} = {_shown(value)}: allowed is {rule.allowed}") from None


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
            f'{place}: data.path = {_shown(data.path)} is not read while data.source = "synthetic"; '
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


def _line_of(text: str, section: str, name: str | None) -> int:
    """The line of a key, or of its section when the key is inside an inline table; 1 where neither is found."""
    table, at = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        head = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if head:
            table = head.group(1).strip("\"' ")
            if table == section or table.startswith(f"{section}."):
                at = number
                if name is None:
                    return at
            continue
        entry = re.match(r"\s*([A-Za-z0-9_\"'. -]+?)\s*=", line)
        if not entry:
            continue
        full = ".".join(part.strip("\"' ") for part in f"{table}.{entry.group(1)}".strip(".").split("."))
        if name is None and (full == section or full.startswith(f"{section}.")):
            at = number
        if name is not None and (full == f"{section}.{name}" or full.startswith(f"{section}.{name}.")):
            return number
    return at


def _nearest(name: str, known: Iterable[str]) -> str:
    last = {full.rsplit(".", 1)[-1]: full for full in known}
    word = name.rsplit(".", 1)[-1]
    close = [last[word]] if word in last else difflib.get_close_matches(name, list(known), 1, 0.6)
    if not close:
        close = [last[other] for other in difflib.get_close_matches(word, list(last), 1, 0.6)]
    if close:
        return f"; nearest is {close[0]}"
    section = name.split(".")[0]
    keys = [full for full in known if full.startswith(f"{section}.")]
    return f"; known are {', '.join(keys or dict.fromkeys(full.split('.')[0] for full in known))}"


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = to_literal(value) if isinstance(value, str | bool | int | float | list | tuple | dict) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def to_literal(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(to_literal(item) for item in value)}]"
    if isinstance(value, Mapping):
        entries = ", ".join(f"{to_literal(str(name))} = {to_literal(item)}" for name, item in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, float):
        return repr(value)
    return str(value)


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
    return "defaults" if path is None else f"{path}:{_line_of(_read(path), 'console', f'keys.{action}')}"
