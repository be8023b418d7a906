"""How many organizations go in one pass, found by what one row of the base leaves in memory for the way back."""

from __future__ import annotations

import psutil
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from fedlora_tui.lora.adapter import BOTH, Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.cohort import LocalTraining, row_forward
from fedlora_tui.lora.injection import recomputable
from fedlora_tui.lora.memory import ran_out
from fedlora_tui.lora.rows import Row
from fedlora_tui.lora.stack import Stack

USED_SHARE = 0.5
"""How much of the free memory the passes may take; the rest is for what comes and goes within one."""

PASS_TOKENS = {"cpu": 2_048}
"""Tokens of a pass beyond which more organizations would take memory and save no time; every lane has a pass."""

PASS_TOKENS_ELSEWHERE = 131_072

STATES = 6
"""What training holds of an adapter at once: values, gradient, AdamW's two moments, and what its step makes of them."""


def cohort_size(
    asked: str | int, base: BaseModel, start: Adapter, plan: LocalTraining, max_length: int, lanes: int = 1
) -> int:
    """Give how many organizations go in one pass: as many as asked, or as fit and fill a pass ("auto").

    `lanes` are the passes that share the device's memory.
    """
    if isinstance(asked, int):
        return asked
    try:
        own = plan.batch_size * row_bytes(base, start, max_length) + STATES * adapter_bytes(start)
    except Exception as error:
        if not ran_out(error):
            raise
        return 1
    fitting = int(USED_SHARE * free_bytes(base.device)) // own // lanes
    filling = PASS_TOKENS.get(base.device.type, PASS_TOKENS_ELSEWHERE) // (plan.batch_size * max_length)
    return max(1, min(fitting, filling))


def adapter_bytes(adapter: Adapter) -> int:
    """Give what one set of an adapter's numbers weighs."""
    return sum(tensor.nbytes for tensor in adapter.tensors().values())


def row_bytes(base: BaseModel, start: Adapter, length: int) -> int:
    """Give what one row of a pass keeps for the way back, counted while one goes forward.

    Where layers are computed twice, that is what goes into each of them and the inside of one at a time.
    """
    stack = Stack([start], base.device, trained=BOTH)
    held = [*base.model.parameters(), *base.model.buffers(), stack.values]
    lasting = {tensor.untyped_storage().data_ptr() for tensor in held}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in lasting:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    row = Row(tuple(token % base.vocabulary for token in range(2, 2 + length)))
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = row_forward(base, stack, row).hidden
    whole = sum(found.values())
    if not base.recomputed:
        return whole
    layers = len(recomputable(base.model))
    return whole // layers + layers * hidden.nbytes


def free_bytes(device: torch.device) -> int:
    """Give the memory of a device that nobody uses, with what torch keeps there for itself and does not need now."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + spare
