"""NVIDIA's management library behind one query with a default: what it cannot tell is None, never a crash.

No CUDA context is created. Where CUDA_VISIBLE_DEVICES names devices, only those are shown, in its order.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pynvml

from fedlora_tui.protocol.events import Gpu

OursInBytes = Callable[[int], int | None]
"""Give the bytes that this process's own allocator holds on a device, by torch's index."""


def visible() -> list[tuple[int, Any]]:
    """Give torch's index and NVML's handle of every visible GPU; none where there is no driver."""
    if not _ask(_init, False):
        return []
    handles = [_ask(partial(pynvml.nvmlDeviceGetHandleByIndex, index)) for index in range(_ask(_count, 0))]
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is not None:
        handles = [_named(name.strip(), handles) for name in asked.split(",") if name.strip()]
        # CUDA itself stops at the first name that it does not know.
        handles = handles[: handles.index(None)] if None in handles else handles
    return [(index, handle) for index, handle in enumerate(handles) if handle is not None]


def driver() -> str | None:
    """Give the version of NVIDIA's driver, None where there is none."""
    version = _ask(lambda: pynvml.nvmlSystemGetDriverVersion()) if _ask(_init, False) else None
    return version.decode() if isinstance(version, bytes) else version


def look(index: int, handle: Any, ours: OursInBytes) -> Gpu:
    """Ask one GPU for all that the machine pane shows. A total of 0 is unified memory: then memory is None."""
    name = _ask(lambda: pynvml.nvmlDeviceGetName(handle), "GPU")
    memory = _ask(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
    busy = _ask(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    milliwatts = _ask(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
    limit = _ask(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    known = memory is not None and memory.total > 0
    return Gpu(
        name=name.decode() if isinstance(name, bytes) else str(name),
        index=index,
        memory_used=int(memory.used) if known else None,
        memory_total=int(memory.total) if known else None,
        memory_ours=_ask(lambda: ours(index)),
        busy=None if busy is None else busy / 100,
        celsius=_ask(lambda: float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))),
        watts=None if milliwatts is None else milliwatts / 1000,
        watts_limit=None if limit is None else limit / 1000,
    )


def _init() -> bool:
    pynvml.nvmlInit()
    return True


def _count() -> int:
    return int(pynvml.nvmlDeviceGetCount())


def _named(name: str, handles: list[Any]) -> Any:
    if name.isdigit():
        return handles[int(name)] if int(name) < len(handles) else None
    return _ask(partial(pynvml.nvmlDeviceGetHandleByUUID, name))


def _ask(query: Callable[[], Any], default: Any = None) -> Any:
    try:
        return query()
    except (pynvml.NVMLError, OSError, AttributeError, RuntimeError):
        return default
