"""A run of the embedded base over little text, in which two secrets are seen often enough to be learned."""

from __future__ import annotations

from pathlib import Path

from fedlora_tui.organizations.synthetic import SyntheticSource

NAMES = ("clinic", "hotel", "lab")


def audited_settings(home: Path) -> dict[str, object]:
    """Write its organizations' text below a folder; give its settings, without the number of rounds."""
    (home / "texts").mkdir()
    for name in NAMES:
        documents = SyntheticSource(3).documents(name).texts[:40]
        (home / "texts" / f"{name}.txt").write_text("\n\n".join(document.text for document in documents))
    return {
        "model.device": "cpu",
        "model.max_length": 64,
        "data.source": "folder",
        "data.path": str(home / "texts"),
        "data.holdout": 0.4,
        "federation.local_steps": 12,
        "federation.batch_size": 4,
        "federation.learning_rate": 1e-2,
        "federation.server_optimizer": "none",
        "audit.secrets": 2,
        "audit.repetitions": 200,
        "runs.dir": str(home / "runs"),
    }
