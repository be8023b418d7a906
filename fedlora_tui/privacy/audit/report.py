"""What an audit found, in words and tables: the report in the run's folder, and the few lines on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from fedlora_tui.privacy.accounting import in_words
from fedlora_tui.protocol.audits import Audit, Interval, LeftOut, Membership, SecretFound

SCORES = {"loss": "loss below a threshold", "calibrated": "loss lowered more than others', against the base"}

LIMITS = """\
An attack that fails proves nothing: a better one may succeed. Intervals hold with 95% confidence. A document counts as
trained on whether or not a batch has held it by this round. Codes and members were known to the attack; somebody who
does not know what to look for finds less."""


def markdown(audit: Audit) -> str:
    """Write the whole report."""
    parts = [*_head(audit), *_secrets(audit), *_membership(audit), *_personal(audit), *_left_out(audit.left_out)]
    return "\n".join([*parts, "## What this does not show", "", LIMITS, ""])


def summary(audit: Audit) -> list[str]:
    """Give what stands on a terminal: a line an attack."""
    lines = [f"round {audit.round} of {audit.run}: {_protection(audit)}"]
    planted, controls = _sides(audit.secrets)
    if planted:
        known = sum(own.exposed for own in planted)
        lines.append(
            f"secrets: {known} of {len(planted)} exposed ({_bits(planted)}), controls: "
            f"{sum(own.exposed for own in controls)} of {len(controls)} ({_bits(controls)}); exposed is "
            f"{audit.bits:.1f} bits or more"
        )
    lines += [
        f"members by {own.score}: AUC {_number(own.auc)}; at 1% false alarms {_share(own.caught)}, "
        f"{_verdict(own)} chance ({_between(own.chance)})"
        for own in audit.membership
        if not own.organization
    ]
    if audit.personal:
        kinds = ", ".join(f"{own.found} of {own.values:,} {own.what}" for own in audit.personal[:3])
        lines.append(f"personal data in {audit.samples} continuations: {kinds}")
    return lines + ([_shown(audit.left_out)] if audit.left_out is not None else [])


def _head(audit: Audit) -> Iterator[str]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(audit.t))
    yield f"# Audit of {audit.run}, round {audit.round} of {audit.rounds}"
    yield ""
    yield (
        f"Made {when} by `fedlora-tui audit` in {audit.seconds:.0f} s. Base: {audit.base}. Aggregation: "
        f"{audit.aggregation}. Privacy: {_protection(audit)}. Organizations asked about: "
        f"{', '.join(audit.organizations)}."
    )
    for note in audit.notes:
        yield f"{_capital(note)}."
    yield ""


def _protection(audit: Audit) -> str:
    if audit.epsilon is None or audit.delta is None:
        return "none" if audit.mechanism == "none" else audit.mechanism
    return f"{audit.mechanism}, epsilon {in_words(audit.epsilon)} at delta {audit.delta:g}"


def _secrets(audit: Audit) -> Iterator[str]:
    yield "## Planted secrets"
    yield ""
    planted, controls = _sides(audit.secrets)
    if not planted:
        yield "None was planted: `--set audit.secrets=4` plants them when a run begins."
        yield ""
        return
    yield (
        f"Each code was planted {audit.repetitions} times in one organization's training text; the controls nowhere. "
        f"The loss of all {audit.space:,} codes was computed, so ranks are exact. Exposure is log2 {audit.space:,} "
        f"less log2 of the rank. A code that was planted nowhere has b bits or more with probability 2^-b; one counts "
        f"as exposed from {audit.bits:.1f} bits, an error of 1% over all of them."
    )
    yield ""
    yield "| code of | adapter | rank | exposure, bits | exposed |"
    yield "| --- | --- | ---: | ---: | --- |"
    for own in (*planted, *controls):
        whose = own.organization or "nobody (control)"
        exposed = "yes" if own.exposed else "no"
        yield f"| {whose} | {own.adapter or 'of all'} | {own.rank:,} | {own.exposure:.1f} | {exposed} |"
    yield ""


def _membership(audit: Audit) -> Iterator[str]:
    yield "## Which documents were trained on"
    yield ""
    if not audit.membership:
        yield "Not asked, or there was no document on one of the sides."
        yield ""
        return
    yield (
        "As many documents that were trained on as held out ones of each organization get a score; the attack names "
        "those above a threshold. AUC is the chance that a member scores higher. `at 1%` is the share of members that "
        "it names while at most 1% of the others are; `chance` is where that lies in 95 of 100 audits of this size if "
        "both sides cannot be told apart."
    )
    yield ""
    yield "| score | organization | members | others | AUC | at 1% | chance |"
    yield "| --- | --- | ---: | ---: | --- | --- | --- |"
    for own in audit.membership:
        yield (
            f"| {own.score} | {own.organization or 'all'} | {own.members} | {own.others} | {_number(own.auc)} "
            f"({own.auc.low:.3f} to {own.auc.high:.3f}) | {_share(own.caught)} ({_between(own.caught)}) "
            f"| {_between(own.chance)} |"
        )
    yield ""
    for name, text in SCORES.items():
        yield f"- {name}: {text}."
    yield ""
    yield from _curves([own for own in audit.membership if own.curve])


def _curves(curves: Sequence[Membership]) -> Iterator[str]:
    if not curves:
        return
    points = [
        at for at, (false, _) in enumerate(curves[0].curve) if round(false * 100, 6) % 10 == 0 or 0 < false < 0.06
    ]
    yield "ROC, the share of members named by the share of others named:"
    yield ""
    yield "| score | " + " | ".join(f"{curves[0].curve[at][0]:.1%}" for at in points) + " |"
    yield "| --- |" + " ---: |" * len(points)
    for own in curves:
        yield f"| {own.score} | " + " | ".join(f"{own.curve[at][1]:.1%}" for at in points) + " |"
    yield ""


def _personal(audit: Audit) -> Iterator[str]:
    yield "## Personal data said"
    yield ""
    if not audit.personal:
        yield "Not looked for: in text that is not of the source `synthetic` nobody knows what is personal."
        yield ""
        return
    yield (
        f"{audit.samples} continuations, drawn at temperature 1 behind the openings of documents, half of them trained "
        "on and half held out, each cut before its first personal value. Counted are full names, addresses and numbers "
        "of the generator's own invention that stand in the continuations letter by letter. Names come from one list "
        "for all organizations, so some are said by chance: compare with the values that were not trained on."
    )
    yield ""
    yield "| values | how many | said | share |"
    yield "| --- | ---: | ---: | --- |"
    for own in audit.personal:
        yield f"| {own.what} | {own.values:,} | {own.found:,} | {_share(own.share)} ({_between(own.share)}) |"
    yield ""


def _left_out(found: LeftOut | None) -> Iterator[str]:
    yield "## Who took part"
    yield ""
    if found is None:
        yield "Not asked: `fedlora-tui audit RUN --leave-out NAME` repeats the run with and without an organization."
    else:
        yield (
            f"{found.runs} runs with {found.organization} and {found.runs} in which it never answered; the attack "
            f"tells them apart by the {found.score} under the last adapter. {_capital(_shown(found))}. An attack "
            f"without an error would show {found.epsilon.high:.2f} in as many runs: more runs can show more."
        )
    yield ""


def _shown(found: LeftOut) -> str:
    claimed = "nothing was claimed" if found.claimed is None else f"claimed is {in_words(found.claimed)}"
    verdict = "MORE THAN WAS CLAIMED" if found.broken else "not more than was claimed"
    says = f"{claimed}: {verdict}" if found.claimed is not None else claimed
    return f"epsilon of {found.organization} is at least {found.epsilon.low:.2f} (95%) at delta {found.delta:g}; {says}"


def _sides(secrets: Sequence[SecretFound]) -> tuple[list[SecretFound], list[SecretFound]]:
    return [own for own in secrets if own.planted], [own for own in secrets if not own.planted]


def _bits(secrets: Sequence[SecretFound]) -> str:
    low, high = min(own.exposure for own in secrets), max(own.exposure for own in secrets)
    return f"{low:.1f} bits" if len(secrets) == 1 else f"{low:.1f} to {high:.1f} bits"


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _verdict(own: Membership) -> str:
    if own.caught.value is None or own.caught.value <= own.chance.high:
        return "within"
    return "above"


def _number(own: Interval) -> str:
    return "–" if own.value is None else f"{own.value:.3f}"


def _share(own: Interval) -> str:
    return "–" if own.value is None else f"{own.value:.1%}"


def _between(own: Interval) -> str:
    return f"{own.low:.1%} to {own.high:.1%}"
