"""An audit of whole runs: what it finds without protection, what it does not find in a base, and whom it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedlora_tui.benchmarks.leaving_out import judged, repeated
from fedlora_tui.cli import main
from fedlora_tui.engine.auditing import Asked, Subject, audited, subject
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.generation import no_adapter
from fedlora_tui.lora.scoring import row_losses
from fedlora_tui.privacy.audit import secrets
from fedlora_tui.privacy.audit.attacks import rows_of_organization
from fedlora_tui.protocol.audits import Audit, from_json, newest
from fedlora_tui.protocol.events import Warned
from tests.flows.audited_run import audited_settings
from tests.tiny_runs import WatchedRun, configured, small_settings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> WatchedRun:
    """A run of the embedded base that sees two secrets often enough to learn them."""
    home = tmp_path_factory.mktemp("audited")
    settings = {**audited_settings(home), "federation.rounds": 8, "federation.fraction_evaluate": 0.1}
    return WatchedRun(configured(settings)).go()


@pytest.fixture(scope="module")
def on(run: WatchedRun) -> Subject:
    """Its last round, as an audit reads it."""
    return subject(run.folder, "latest")


def _audit(on: Subject, adapter: Adapter | None = None) -> Audit:
    on = on if adapter is None else replace(on, adapters={"": adapter})
    return audited(on, Asked(), "a run", lambda what, done, of: None)


def test_without_protection_planted_secrets_are_exposed_and_controls_are_not(on: Subject) -> None:
    found = _audit(on)

    assert [own.exposed for own in found.secrets] == [True, True, False, False]
    assert all(own.exposure > found.bits for own in found.secrets if own.planted)
    # Each side has as many documents, and every loss is one of a document that is not a secret.
    assert {(own.members, own.others) for own in found.membership if own.organization} == {(16, 16)}
    assert found.personal == ()


def test_what_was_never_trained_gives_nothing_away(on: Subject) -> None:
    found = _audit(on, no_adapter(on.base))

    assert not any(own.exposed for own in found.secrets)
    for own in found.membership:
        assert own.caught.value is not None
        assert own.chance.low <= own.caught.value <= own.chance.high
    by_base = next(own for own in found.membership if own.score == "calibrated" and not own.organization)
    assert by_base.auc.value == pytest.approx(0.5)


def test_a_run_tells_whom_it_planted_secrets_in_and_keeps_none_of_them(run: WatchedRun, on: Subject) -> None:
    planted = on.planted

    assert on.config.audit.organizations == tuple(planted)
    told = [event.message for event in run.told(Warned) if isinstance(event, Warned)]
    assert f"a secret was planted 200 times in the training text of {', '.join(planted)}" in told[0]
    whole = b"".join(file.read_bytes() for file in run.folder.rglob("*") if file.is_file())
    for code in planted.values():
        assert secrets.code_text(code).encode() not in whole
        assert " ".join(f"{code:04d}").encode() not in whole


def test_the_command_writes_a_report_into_the_runs_folder(run: WatchedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(run.folder), "--round", "8", "--documents", "4", "--json"]) == 0
    found = from_json(capsys.readouterr().out)

    report = run.folder / "audit-round-0008.md"
    assert found.report == str(report)
    assert newest(run.folder) == replace(found, report=report.name)
    assert "| clinic | of all |" in report.read_text(encoding="utf-8")
    assert "Not looked for" in report.read_text(encoding="utf-8")


def test_what_cannot_be_audited_is_refused_in_one_line(
    run: WatchedRun, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    texts = Path(run.run.config.data.path)
    runs = ["--runs-dir", str(tmp_path)]

    def refused(*words: str) -> str:
        assert main(["audit", *words]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        return lines[0]

    assert "no run here yet" in refused(*runs)
    assert "allowed is latest, best, or one of 1 to 8" in refused(str(run.folder), "--round", "9")
    assert "--leave-out bank: no such organization" in refused(str(run.folder), "--leave-out", "bank")
    assert "--runs 2: half of them" in refused(str(run.folder), "--leave-out", "lab", "--runs", "2")
    whole = (texts / "lab.txt").read_text()
    try:
        (texts / "lab.txt").write_text(whole + "\n\nOne document more.")
        assert "organization lab: it has 41 documents now, and had 40" in refused(str(run.folder))
        (texts / "lab.txt").unlink()
        assert "the text that was trained on, which cannot be read" in refused(str(run.folder))
    finally:
        (texts / "lab.txt").write_text(whole)


def test_personal_data_is_counted_where_the_text_is_invented(tmp_path: Path) -> None:
    settings = {
        **small_settings(tmp_path),
        "data.source": "synthetic",
        "data.path": "",
        "federation.organizations": 2,
        "federation.rounds": 1,
        "federation.local_steps": 1,
    }
    run = WatchedRun(configured(settings)).go()
    found = audited(subject(run.folder, "best"), Asked(documents=2, samples=4), "a run", lambda what, done, of: None)

    assert found.secrets == ()
    assert found.samples == 4
    kinds = {own.what: own for own in found.personal}
    assert list(kinds)[:3] == ["in training text alone", "in hold-out text alone", "nowhere"]
    assert kinds["in training text alone"].values > 5 * kinds["in hold-out text alone"].values > 0
    assert kinds["behind the opening of a document trained on"].values == 2


def test_where_organizations_keep_adapters_each_is_asked_about_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"federation.aggregation": "fedsa", "audit.organizations": '["alpha", "gamma"]'}
    run = WatchedRun(configured({**small_settings(tmp_path), **own})).go()
    assert main(["audit", str(run.folder), "--json", "--documents", "2"]) == 0
    found = from_json(capsys.readouterr().out)

    assert [(own.organization, own.adapter) for own in found.secrets] == [
        *(("alpha", "alpha"), ("", "alpha")),
        *(("gamma", "gamma"), ("", "gamma")),
    ]
    assert [own.organization for own in found.membership if own.score == "loss"] == ["", "alpha", "beta", "gamma"]
    assert main(["audit", str(run.folder), "--leave-out", "beta"]) == 2
    assert "with fedsa each organization has an adapter of its own" in capsys.readouterr().err


def _left_out(folder: Path, runs: int, **changes: object) -> tuple[list[float], list[float]]:
    config = configured(small_settings(folder), audit__organizations='["beta"]', **changes)
    began = WatchedRun(config).go()
    on = subject(began.folder, "latest")
    rows = rows_of_organization(on.base, on.texts["beta"], on.planted["beta"], on.config)

    def score(base: BaseModel, adapter: Adapter) -> float:
        return -sum(row_losses(base, adapter, rows))

    found = repeated(on.config, "beta", runs, score, on.base, lambda done: None)
    assert judged("beta", found, "").claimed is None
    return list(found.with_it), list(found.without)


def test_runs_with_an_organization_are_told_from_those_without(tmp_path: Path) -> None:
    with_it, without = _left_out(tmp_path, 2)

    assert len(with_it) == len(without) == 2
    assert min(with_it) > max(without)
    # Nothing draws but from seeds, and there is no noise: each kind of run repeats to the bit.
    assert len({*with_it}) == len({*without}) == 1
