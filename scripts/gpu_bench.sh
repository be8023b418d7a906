#!/bin/sh
# Measures the engine's speed on one large GPU and says which marks are met.
#
#   scripts/gpu_bench.sh [REPORT.json]     GPT-2 small's shape with random weights, 16 organizations, batches of 4 rows
#                                          of 128 tokens, bfloat16; the rival on Ray where fedlora-tui[ray] is installed
#   TINY=1 scripts/gpu_bench.sh            the same steps over next to nothing on processors: whether all of it works
#   PYTHON=...                             the interpreter that has fedlora-tui (.venv/bin/python)
set -eu

PYTHON=${PYTHON:-.venv/bin/python}
REPORT=${1:-gpu_bench.json}
TINY=${TINY:-}
MODEL=$(mktemp -d)
trap 'rm -rf "$MODEL"' EXIT INT TERM

if [ -n "$TINY" ]; then
    DEVICE=cpu DTYPE=float32 ORGANIZATIONS=2 LENGTH=32 STEPS=2 REPEATS=1 SHORT=${SHORT:-2}
else
    DEVICE=cuda DTYPE=bfloat16 ORGANIZATIONS=16 LENGTH=128 STEPS=8 REPEATS=3 SHORT=${SHORT:-10}
fi

# Speed does not depend on what the weights are, so no hub is needed; the embedded base lends its tokenizer.
"$PYTHON" - "$MODEL" "$TINY" <<'PY'
import sys

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from fedlora_tui.lora.base_model import EMBEDDED

folder, tiny = sys.argv[1:]
shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 4096} if tiny else {}
dropout = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
torch.manual_seed(7)
GPT2LMHeadModel(GPT2Config(**shape, **dropout, bos_token_id=0, eos_token_id=0)).save_pretrained(folder)
AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(folder)
PY

"$PYTHON" -m fedlora_tui bench speed --json --batches 4 --repeats "$REPEATS" --short-rounds "$SHORT" \
    --short-length "$LENGTH" --model "$MODEL" --orgs "$ORGANIZATIONS" --set model.device="$DEVICE" --set model.dtype="$DTYPE" \
    --set model.max_length="$LENGTH" --set federation.local_steps="$STEPS" > "$REPORT"

"$PYTHON" - "$REPORT" <<'PY'
import json
import sys

MARKS = {"in_turn": 10.0, "ray": 20.0, "matrix_share": 0.35}

with open(sys.argv[1], encoding="utf-8") as file:
    report = json.load(file)
print(", ".join(f"{name} {value}" for name, value in report["machine"].items() if value is not None))
for row in report["rows"]:
    speed = row["tokens_per_second"]
    print(f"{row['name']:<44} {'' if speed is None else format(speed, ',.0f') + ' tokens/s':>24}")
for name, mark in MARKS.items():
    found = report["ratios"]["batch4"][name]
    said = "not measured" if found is None else f"{found:.3g}: {'met' if found >= mark else 'not met'}"
    print(f"{name} at least {mark:g}: {said}")
for note in report["notes"]:
    print(note)
PY
echo "report: $REPORT"
