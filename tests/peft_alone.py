"""What a cohort is held against: one organization alone with PEFT's own LoRA, torch's AdamW, transformers' loss."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional

from fedlora_tui.lora.cohort import LocalTraining, train_cohort
from fedlora_tui.lora.rows import Row, batches, packed, padded, targets
from tests.tiny_models import FAMILIES, random_rows

PREFIX = "base_model.model."
PLAN = LocalTraining(
    round=2, seed=7, local_steps=4, local_epochs=0, batch_size=3, learning_rate=5e-3, clip_norm=0.0, proximal_mu=0.0
)


def peft_model(name, start, **settings):
    """PEFT's own model of the same base, started from the same factors, in their precision."""
    config = LoraConfig(
        r=start.rank,
        lora_alpha=start.alpha,
        target_modules=list(start.factors),
        fan_in_fan_out=name == "gpt2",
        task_type="CAUSAL_LM",
        **settings,
    )
    precision = next(iter(start.tensors().values())).dtype
    model = get_peft_model(FAMILIES[name](), config).eval().to(precision)
    own = dict(model.named_parameters())
    for key, value in start.tensors().items():
        own[PREFIX + key.replace(".weight", ".default.weight")].data.copy_(value)
    return model


def peft_tensors(model):
    named = {key: value for key, value in model.named_parameters() if "lora_" in key}
    return {key.removeprefix(PREFIX).replace(".default", ""): value.detach() for key, value in named.items()}


def plain_loss(model, rows):
    """Transformers' own loss of each document alone: shifted labels, a mean over all targets, padding masked.

    Transformers rounds logits to float32; a model in float64 is held against the same formula in float64.
    """
    alone = [piece for row in rows for piece in in_documents(row)]
    inputs = padded(alone, 0, torch.device("cpu"))
    mask = torch.zeros_like(inputs.tokens)
    for index, row in enumerate(alone):
        mask[index, : len(row)] = 1
    found = model(input_ids=inputs.tokens, attention_mask=mask, labels=inputs.labels)
    if found.logits.dtype != torch.float64:
        return found.loss
    return functional.cross_entropy(found.logits[:, :-1].flatten(0, 1), inputs.labels[:, 1:].flatten())


def in_documents(row):
    """Each document of a row as a row of its own."""
    return [Row(row.tokens[start:stop]) for start, stop in pairwise((0, *row.starts, len(row)))]


def train_alone(name, start, rows, plan, clip=0.0, mu=0.0, **settings):
    """Plain PEFT and torch: the definition that a cohort is held against. Gives losses, counts and tensors."""
    model = peft_model(name, start, **settings)
    parameters = [value for value in model.parameters() if value.requires_grad]
    origin = [value.detach().clone() for value in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    losses, counts = [], []
    for batch in batches(
        rows.train, plan.batch_size, plan.seed, rows.organization, plan.round, plan.local_steps, plan.local_epochs
    ):
        loss = plain_loss(model, batch)
        pull = sum(((value - first) ** 2).sum() for value, first in zip(parameters, origin, strict=True))
        (loss + mu / 2 * pull).backward()
        if clip:
            length = torch.cat([value.grad.flatten() for value in parameters]).norm()
            for value in parameters:
                value.grad *= min(1.0, clip / (float(length) + 1e-6))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        counts.append(targets(batch))
    return losses, counts, peft_tensors(model)


def relative(ours, theirs):
    """The largest relative Frobenius difference among the tensors."""
    return max(float((ours[key] - theirs[key]).norm() / theirs[key].norm()) for key in theirs)


def trained(base, starts, rows, plan):
    """The results of a cohort, and each organization's losses by step."""
    losses = {own.organization: [] for own in rows}

    def observe(steps):
        for step in steps:
            losses[step.organization].append(step.loss)
            assert step.step == len(losses[step.organization])

    plans = [plan] * len(rows) if isinstance(plan, LocalTraining) else plan
    return train_cohort(base, starts, rows, plans, observe), losses


def content(adapter):
    return {key: value.numpy().tobytes() for key, value in adapter.tensors().items()}


def packed_rows(name, count, seed):
    """An organization whose rows hold several documents each."""
    alone = random_rows(name, count, seed, most=15)
    return replace(alone, train=tuple(packed(alone.train, 24)))


def three(least=4, most=24):
    return [random_rows(name, count, 1, least, most) for name, count in (("a", 11), ("b", 7), ("c", 14))]
