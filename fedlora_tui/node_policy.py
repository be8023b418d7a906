"""What an organization takes part in: its own limits, a small TOML file, and the one function that judges by them.

A refusal's reason is one of a list of forms with numbers in them: the server is told it, and no text can leave in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import tomli

from fedlora_tui.config_places import line_of, nearest, shown, to_literal
from fedlora_tui.config_rules import Rule, key
from fedlora_tui.config_sections import FederationConfig
from fedlora_tui.errors import UserError

METHODS: tuple[str, ...] = FederationConfig.__dataclass_fields__["aggregation"].metadata["rule"].words
ANY = "any"
MIB = 2**20
ROUNDING = 1 - 1e-9
LEAST_SAID, MOST_SAID = 1e-9, 9e99


@dataclass(frozen=True)
class TrainingLimits:
    """The most that a run may ask of this organization."""

    max_rank: int = key(1024, "highest rank of an adapter that is trained or measured here", least=1, most=1024)
    max_steps: int = key(1_000_000, "most local steps a round", least=1, most=1_000_000)
    max_batch_size: int = key(65_536, "most rows a step", least=1, most=65_536)
    max_rounds: int = key(1_000_000, "most rounds of one run that are trained here", least=1, most=1_000_000)
    max_megabytes: int = key(
        1_000_000, "most MiB that one message may bring: the adapter, and what joins the base", least=1, most=1_000_000
    )
    methods: str | tuple[str, ...] = key(
        ANY, "aggregation methods that are taken part in", str, words=(ANY,), texts=True, example='["ffa", "fedit"]'
    )


@dataclass(frozen=True)
class PrivacyLimits:
    """The least protection without which nothing is trained here."""

    mechanism: str = key(
        "none",
        "gaussian: only in runs with noise, where updates are clipped before they leave",
        words=("none", "gaussian"),
    )
    max_clip_norm: float = key(0.0, "longest update that may leave, clipped here; 0: any", least=0.0, most=1e6)
    min_own_noise: float = key(
        0.0, "least noise that is added here, its deviation in clip_norms; 0: none is asked for", least=0.0, most=1e4
    )
    max_epsilon: float = key(
        0.0, "highest privacy.target_epsilon that a run may plan; 0: any, or no budget", least=0.0, most=1e4
    )
    secure_sum: bool = key(False, "updates leave in secure sums alone")
    withhold_losses: bool = key(False, "no loss leaves, neither of training nor of the hold-out")


@dataclass(frozen=True)
class NodePolicy:
    """The whole policy; as it stands by itself it allows all that can be asked."""

    training: TrainingLimits = field(default_factory=TrainingLimits)
    privacy: PrivacyLimits = field(default_factory=PrivacyLimits)


EVERYTHING = NodePolicy()
SECTIONS: Mapping[str, type] = {"training": TrainingLimits, "privacy": PrivacyLimits}
RULES: Mapping[str, Rule] = {
    f"{section}.{item.name}": item.metadata["rule"] for section, kind in SECTIONS.items() for item in fields(kind)
}


@dataclass(frozen=True)
class Asked:
    """What a message asks of an organization, as far as a policy judges it.

    `megabytes` are those of its arrays in MiB, `trained` the rounds of its run that were trained here before. `clip`
    and `own_noise` (in clip norms) are what is done here, 0 where it is not; `mechanism` and `epsilon` are what the
    run says of itself, 0 where it has no budget. `trains` is False where it is only to measure.
    """

    rank: int
    megabytes: float
    method: str
    trains: bool = True
    steps: int = 0
    batch_size: int = 0
    trained: int = 0
    mechanism: str = "none"
    clip: float = 0.0
    own_noise: float = 0.0
    epsilon: float = 0.0
    summed_unseen: bool = False
    loss_leaves: bool = True


RANK = "its policy allows a rank of {limit} at most, {asked} was asked"
STEPS = "its policy allows {limit} local steps at most, {asked} were asked"
BATCH = "its policy allows a batch of {limit} rows at most, {asked} were asked"
ROUNDS = "its policy allows {limit} rounds of a run at most, and so many are trained"
MEGABYTES = "its policy allows {limit} MiB at most in a message, {asked} came"
METHOD = "its policy does not allow the method {method}"
MECHANISM = "its policy asks for privacy.mechanism = gaussian, and updates that are clipped before they leave"
CLIP = "its policy allows an update of length {limit} at most, {asked} was asked"
NO_CLIP = "its policy allows an update of length {limit} at most, and none is clipped in this run"
OWN_NOISE = "its policy asks for noise of its own of {limit} clip norms at least, {asked} was asked"
EPSILON = "its policy allows an epsilon of {limit} at most, {asked} is planned"
NO_BUDGET = "its policy allows an epsilon of {limit} at most, and this run has no budget"
SECURE_SUM = "its policy lets updates leave in secure sums alone"
LOSSES = "its policy lets no loss leave"
UNWRITTEN = "its node cannot write its ledger, and nothing leaves that does not stand there"
"""Why a node that trained sends nothing: no judgement of its policy, but told in the same way."""

FORMS = (
    *(RANK, STEPS, BATCH, ROUNDS, MEGABYTES, METHOD, MECHANISM, CLIP, NO_CLIP, OWN_NOISE, EPSILON, NO_BUDGET),
    *(SECURE_SUM, LOSSES, UNWRITTEN),
)
"""All that a node may give as its reason."""

NUMBER = r"[0-9]{1,7}(?:\.[0-9]{1,6})?(?:e[+-]?[0-9]{1,2})?"


def _pattern(form: str) -> str:
    holes = {"limit": NUMBER, "asked": NUMBER, "method": "|".join((*METHODS, "unknown"))}
    return "".join(
        f"(?:{holes[part[1:-1]]})" if part[:1] == "{" else re.escape(part) for part in re.split(r"(\{\w+\})", form)
    )


_REASON = re.compile("|".join(_pattern(form) for form in FORMS))


def is_reason(text: str) -> bool:
    """Tell whether a text is one of the forms of a refusal, with nothing in it but numbers and a method's name."""
    return _REASON.fullmatch(text) is not None


def is_policy(reason: str) -> bool:
    """Tell whether a reason is a judgement of a policy, and no trouble of its node's."""
    return is_reason(reason) and reason != UNWRITTEN


def refusal(policy: NodePolicy, asked: Asked) -> str | None:
    """Say why a policy does not allow what a message asks, None where it does. The reason passes `is_reason`."""
    limits = policy.training
    if limits.methods != ANY and asked.method not in limits.methods:
        return METHOD.format(method=asked.method if asked.method in METHODS else "unknown")
    if asked.rank > limits.max_rank:
        return _over(RANK, limits.max_rank, asked.rank)
    if asked.megabytes > limits.max_megabytes:
        return _over(MEGABYTES, limits.max_megabytes, asked.megabytes)
    if policy.privacy.withhold_losses and asked.loss_leaves:
        return LOSSES
    return _training_refusal(policy, asked) if asked.trains else None


def _training_refusal(policy: NodePolicy, asked: Asked) -> str | None:
    limits = policy.training
    if asked.steps > limits.max_steps:
        return _over(STEPS, limits.max_steps, asked.steps)
    if asked.batch_size > limits.max_batch_size:
        return _over(BATCH, limits.max_batch_size, asked.batch_size)
    if asked.trained >= limits.max_rounds:
        return _over(ROUNDS, limits.max_rounds, asked.trained)
    return _privacy_refusal(policy.privacy, asked)


def _privacy_refusal(limits: PrivacyLimits, asked: Asked) -> str | None:
    if limits.secure_sum and not asked.summed_unseen:
        return SECURE_SUM
    if limits.mechanism == "gaussian" and not (asked.mechanism == "gaussian" and asked.clip > 0.0):
        return MECHANISM
    if limits.max_clip_norm and not 0.0 < asked.clip * ROUNDING <= limits.max_clip_norm:
        return _over(CLIP if asked.clip > 0.0 else NO_CLIP, limits.max_clip_norm, asked.clip)
    if limits.min_own_noise and not asked.own_noise >= limits.min_own_noise * ROUNDING:
        return _over(OWN_NOISE, limits.min_own_noise, asked.own_noise)
    if limits.max_epsilon and not 0.0 < asked.epsilon <= limits.max_epsilon:
        return _over(EPSILON if asked.epsilon > 0.0 else NO_BUDGET, limits.max_epsilon, asked.epsilon)
    return None


def _over(form: str, limit: float, asked: float) -> str:
    return form.format(limit=_short(limit), asked=_short(asked))


def _short(number: float) -> str:
    """Write a number in a few digits, always the same for it; what no run can ask for is written as the nearest."""
    held = min(max(float(number), 0.0), MOST_SAID) if number == number else 0.0
    held = held if held >= LEAST_SAID else 0.0
    return str(int(held)) if held < 1e7 and held == int(held) else f"{held:.4g}"


def words(policy: NodePolicy) -> str:
    """Say in one short line what a policy limits; empty where it allows everything."""
    limits, privacy = policy.training, policy.privacy
    said = []
    for name, unit in (("rank", ""), ("steps", ""), ("batch_size", ""), ("rounds", ""), ("megabytes", " MiB")):
        value = getattr(limits, f"max_{name}")
        if value != getattr(TrainingLimits, f"max_{name}"):
            said.append(f"{name.replace('_size', '').replace('megabytes', 'message')} <= {value}{unit}")
    if limits.methods != ANY:
        said.append(f"methods {'/'.join(limits.methods)}")
    if privacy.mechanism != "none":
        said.append(privacy.mechanism)
    if privacy.max_clip_norm:
        said.append(f"clip <= {privacy.max_clip_norm:.12g}")
    if privacy.min_own_noise:
        said.append(f"own noise >= {privacy.min_own_noise:.12g}")
    if privacy.max_epsilon:
        said.append(f"epsilon <= {privacy.max_epsilon:.12g}")
    said += ["secure sums alone"] if privacy.secure_sum else []
    said += ["no losses"] if privacy.withhold_losses else []
    return ", ".join(said)


_LIMIT = re.compile(r"(rank|steps|batch|rounds|message|clip|own noise|epsilon) [<>]= ([0-9.e+-]{1,20})(?: MiB)?")
_FIELDS = {"batch": "max_batch_size", "message": "max_megabytes", "clip": "max_clip_norm", "own noise": "min_own_noise"}


def policy_said(said: str) -> NodePolicy:
    """Read a policy from what `words` said of it; what cannot be read limits nothing, for its node judges by itself."""
    training: dict[str, Any] = {}
    privacy: dict[str, Any] = {}
    for part in said.split(", "):
        if limit := _LIMIT.fullmatch(part):
            name = _FIELDS.get(limit[1], f"max_{limit[1]}")
            section = "training" if f"training.{name}" in RULES else "privacy"
            try:
                value = float(limit[2])
                taken = RULES[f"{section}.{name}"].take(int(value) if section == "training" else value)
            except (ValueError, OverflowError):
                continue
            (training if section == "training" else privacy)[name] = taken
        elif methods := tuple(own for own in part.removeprefix("methods ").split("/") if own in METHODS):
            training["methods"] = methods
        elif part == "gaussian":
            privacy["mechanism"] = part
        elif part in ("secure sums alone", "no losses"):
            privacy["secure_sum" if part == "secure sums alone" else "withhold_losses"] = True
    return NodePolicy(TrainingLimits(**training), PrivacyLimits(**privacy))


def load_policy(path: Path) -> NodePolicy:
    """Read a policy; every error names its file, line, key and value. Raises UserError."""
    text = _text_of(path)
    try:
        tables = tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None
    found: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for section, table in tables.items():
        place = f"{path}:{line_of(text, section, None)}"
        if section not in SECTIONS and isinstance(table, dict):
            raise UserError(f"{place}: [{section}] is not a section{nearest(section, SECTIONS)}")
        if section not in SECTIONS:
            raise UserError(f"{place}: {section} is not a key of any section{nearest(section, RULES)}")
        if not isinstance(table, dict):
            raise UserError(f"{place}: {section} = {shown(table)}: {section} is a section, write [{section}]")
        for name, value in table.items():
            found[section][name] = _checked(f"{section}.{name}", value, f"{path}:{line_of(text, section, name)}")
    return NodePolicy(TrainingLimits(**found["training"]), PrivacyLimits(**found["privacy"]))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; fedlora-tui node --write-policy {path} writes one") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _checked(name: str, value: Any, place: str) -> Any:
    rule = RULES.get(name)
    if rule is None:
        raise UserError(f"{place}: {name} = {shown(value)}: {name} is not a key{nearest(name, RULES)}")
    try:
        taken = rule.take(value)
    except ValueError:
        raise UserError(f"{place}: {name} = {shown(value)}: allowed is {rule.allowed}") from None
    if name == "training.methods" and taken != ANY and (not taken or not set(taken) <= set(METHODS)):
        allowed = f'"{ANY}" or a list of some of {", ".join(METHODS)}'
        raise UserError(f"{place}: {name} = {shown(value)}: allowed is {allowed}")
    return taken


def policy_toml(policy: NodePolicy = EVERYTHING) -> str:
    """Write a policy with a comment a key."""
    lines = [
        "# What this organization takes part in; what goes beyond it is refused, and the server is told why.",
        "# Every key stands at its default, which allows all that can be asked: lower what is to be limited.",
        "",
    ]
    for section, kind in SECTIONS.items():
        lines += [f"# {(kind.__doc__ or '').strip()}", f"[{section}]"]
        for item in fields(kind):
            entry = f"{item.name} = {to_literal(getattr(getattr(policy, section), item.name))}"
            lines.append(f"{entry:<28}  # {item.metadata['rule'].comment}")
        lines.append("")
    return "\n".join(lines)
