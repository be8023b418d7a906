"""What is taken home is what the journal told of: plain PEFT, in a process of its own, gets the same loss."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedlora_tui.engine.prepare import Texts
from fedlora_tui.lora.base_model import load as load_base
from fedlora_tui.organizations.source import open_source
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings

PLAIN = '''
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.no_grad()
def loss(model, rows):
    """Mean cross-entropy over all targets, row by row, as transformers computes it."""
    total = count = 0
    for row in rows:
        ids = torch.tensor([row])
        total += model.eval()(input_ids=ids, labels=ids).loss.item() * (len(row) - 1)
        count += len(row) - 1
    return total / count


told = {}
for name, job in json.load(open(sys.argv[1])).items():
    base = AutoModelForCausalLM.from_pretrained(job["base"])
    tokenizer = AutoTokenizer.from_pretrained(job["merged"])
    told[name] = {
        "base": loss(base, job["rows"]),
        "merged": loss(AutoModelForCausalLM.from_pretrained(job["merged"]), job["rows"]),
        "adapter": loss(PeftModel.from_pretrained(base, job["adapter"]), job["rows"]),
        "tokens": tokenizer(job["text"], add_special_tokens=False)["input_ids"],
        "ours": sorted(name for name in sys.modules if name.split(".")[0] in ("fedlora_tui", "flwr")),
    }
print(json.dumps(told))
'''


def exported(config, folder: Path):
    """Run to the end, export both ways; give the job for the plain process and what the run told."""
    watched = WatchedRun(config).go()
    assert watched.run.state.phase == "done", watched.run.refusal
    for merged in (False, True):
        watched.run.send(ask.Export(merged=merged, out=str(folder / f"merged-{merged}")))
        watched.wait_for(lambda event, merged=merged: isinstance(event, ev.AdapterExported) and event.merged is merged)
    base = load_base(config.model, config.lora)
    texts = Texts(open_source(config.data, config.federation.seed), base, config)
    rows, text = [], ""
    for name in watched.told(ev.RunStarted)[0].orgs:
        texts.read(name)
        rows += [row.tokens for row in texts.rows(name).holdout]
        text = texts.source.documents(name).texts[0].text
    job = {
        "base": base.origin,
        "adapter": str(folder / "merged-False"),
        "merged": str(folder / "merged-True"),
        "rows": rows,
        "text": text,
    }
    return job, watched, base.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The losses that a plain process finds, beside those that the runs told."""
    home = tmp_path_factory.mktemp("export")
    steps = {"federation__local_steps": 4, "federation__learning_rate": 0.01}
    small = configured(small_settings(home), **steps, lora__rank=3, lora__alpha=7.5)
    settings = small_settings(home)
    for name in ("model.base", "model.max_length", "data.path", "data.source"):
        del settings[name]
    few = {"federation__organizations": 2, "federation__rounds": 1, "data__holdout_tokens": 400}
    front_door = configured(settings, **steps, **few)
    jobs, runs = {}, {}
    for name, config in (("small", small), ("embedded", front_door)):
        (home / name).mkdir()
        jobs[name], *runs[name] = exported(config, home / name)
    (home / "plain.py").write_text(PLAIN)
    (home / "jobs.json").write_text(json.dumps(jobs))
    done = subprocess.run(
        [sys.executable, "-P", str(home / "plain.py"), str(home / "jobs.json")],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=home,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), runs, jobs


@pytest.mark.parametrize("name", ["small", "embedded"])
def test_plain_peft_gets_the_loss_that_the_journal_told(told, name):
    plain, runs, _ = told
    watched = runs[name][0]
    last = watched.told(ev.RoundFinished)[-1].eval_loss
    assert plain[name]["ours"] == []
    assert plain[name]["adapter"] == pytest.approx(last, abs=1e-4)
    assert plain[name]["merged"] == pytest.approx(last, abs=1e-4)
    assert plain[name]["base"] == pytest.approx(watched.run.state.base_loss, abs=1e-4)
    # Or an adapter that does nothing would pass.
    assert abs(plain[name]["adapter"] - plain[name]["base"]) > 0.01


@pytest.mark.parametrize("name", ["small", "embedded"])
def test_a_merged_model_brings_the_same_tokenizer(told, name):
    plain, runs, _ = told
    assert plain[name]["tokens"] == runs[name][1]


def test_an_adapters_folder_is_pefts_own_with_a_card(told):
    _, runs, jobs = told
    folder = Path(jobs["small"]["adapter"])
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (3, 7.5, "LORA")
    assert config["task_type"] == "CAUSAL_LM"
    assert config["inference_mode"] is True
    assert config["fan_in_fan_out"] is True  # GPT-2's layers lie the other way; PEFT would warn and put it right
    card = (folder / "README.md").read_text()
    watched = runs["small"][0]
    assert f"{watched.told(ev.RoundFinished)[-1].eval_loss:.4f}" in card
    assert f"{watched.run.state.base_loss:.4f}" in card
    assert "alpha, beta, gamma" in card
    # The plain process above loads the base as the card says.
    assert f'AutoModelForCausalLM.from_pretrained("{jobs["small"]["base"]}", dtype="float32")' in card
    assert "round 2 of 2" in card
    size = watched.wait_for(lambda event: isinstance(event, ev.AdapterExported) and not event.merged).bytes
    assert size == sum(file.stat().st_size for file in folder.iterdir())
