"""An audit of runs under noise: it finds no secret, no member, and not more of who took part than they claim."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedlora_tui.benchmarks.leaving_out import judged, repeated
from fedlora_tui.config import Config, PrivacyConfig
from fedlora_tui.engine.auditing import Asked, audited, subject
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.scoring import row_losses
from fedlora_tui.privacy import noise
from fedlora_tui.privacy.audit.attacks import rows_of_organization
from fedlora_tui.privacy.audit.statistics import FALSE_ALARMS
from fedlora_tui.protocol.audits import Audit, LeftOut
from tests.flows.audited_run import audited_settings
from tests.tiny_runs import WatchedRun, configured, small_settings

UNDER_NOISE = {
    "privacy.mechanism": '"gaussian"',
    "privacy.target_epsilon": 0,
    "privacy.delta": 1e-3,
    "federation.fraction": 1.0,
}


def _protected(settings: dict[str, object], multiplier: float, clip_norm: float) -> WatchedRun:
    own = {"privacy.noise_multiplier": multiplier, "privacy.clip_norm": clip_norm}
    return WatchedRun(configured({**settings, **UNDER_NOISE, **own})).go()


def test_under_strong_noise_no_secret_is_known_and_members_are_named_by_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**audited_settings(tmp_path), "federation.rounds": 2, "audit.repetitions": 500}
    bare = _audited(WatchedRun(configured(settings)).go())
    # An attack that knows nothing is right by chance now and then: so these bits, too, are the same each time.
    monkeypatch.setattr(noise, "os", SimpleNamespace(urandom=noise.Seeded(1, "in place of the system's")))
    found = _audited(_protected(settings, 10.0, 0.5))

    assert _exposed(bare) == 2
    assert _exposed(found) == 0
    for own in found.membership:
        assert own.caught.value is not None
        assert _by_chance(round(own.caught.value * own.members), own.members, own.others) > 1e-6
    assert found.epsilon is not None
    assert found.epsilon < 1.0
    assert (found.mechanism, found.delta) == ("gaussian", 1e-3)


def _audited(run: WatchedRun) -> Audit:
    return audited(subject(run.folder, "latest"), Asked(), "a run", lambda what, done, of: None)


def _exposed(audit: Audit) -> int:
    return sum(own.exposed for own in audit.secrets if own.planted)


def _by_chance(caught: int, members: int, others: int) -> float:
    """Give how often so many members or more stand above all others where nothing tells the two apart."""
    assert others < 1 / FALSE_ALARMS
    return math.comb(members, caught) / math.comb(members + others, caught)


@pytest.mark.slow
def test_the_attack_on_a_whole_organization_shows_no_more_than_is_claimed(tmp_path: Path) -> None:
    settings = {**small_settings(tmp_path), "audit.organizations": '["beta"]', "audit.repetitions": 200}
    settings |= {"federation.learning_rate": 1e-2, "federation.local_steps": 8, "federation.rounds": 2}
    # So much noise claims less than an attack shows that is right all 24 times, and more than any other shows: and one
    # that knows nothing, or all that the noise lets through, is so often right in about one of a million.
    on = subject(_protected(settings, 4.0, 0.1).folder, "latest")
    rows = rows_of_organization(on.base, on.texts["beta"], on.planted["beta"], on.config)

    def score(base: BaseModel, adapter: Adapter) -> float:
        return -sum(row_losses(base, adapter, rows))

    def found(config: Config) -> LeftOut:
        return judged("beta", repeated(config, "beta", 24, score, on.base, lambda done: None), "")

    given = frozenset(name for name in on.config.given if not name.startswith("privacy."))
    protected, bare = found(on.config), found(replace(on.config, privacy=PrivacyConfig(), given=given))

    # Without the noise the same attack on the same runs shows more than is claimed with it.
    assert protected.claimed is not None
    assert protected.epsilon.low <= protected.claimed < bare.epsilon.low
    assert bare.epsilon.low == bare.epsilon.high
