"""What a run would take, before it is started: memory and time, added up from the base's shapes and a measured speed.

It is an estimate: what a token leaves in memory and what share of the machine's matrix products training reaches are
rules, held against runs. A run of the embedded base comes within a factor of two.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedlora_tui.config import Config
from fedlora_tui.engine.sampling import MEASURED_AT_MOST
from fedlora_tui.lora.base_size import BaseSize
from fedlora_tui.lora.cohort_size import PASS_TOKENS, PASS_TOKENS_ELSEWHERE, STATES, USED_SHARE
from fedlora_tui.lora.head import CHUNK_BYTES, CHUNK_BYTES_ELSEWHERE

LIBRARIES = {"cpu": 480 * 2**20}
"""What Python with torch, transformers and Flower takes of a machine's memory, as runs of the embedded base had it."""

LIBRARIES_ELSEWHERE = 600 * 2**20
"""What CUDA and its libraries take of a GPU's memory before anything of ours is there."""

REACHED = {"cpu": 0.5}
"""The share of the rate of large matrix products that training reaches (docs/performance.md)."""

REACHED_ELSEWHERE = 0.3

LOGITS = 2
"""A chunk's logits, and what goes back from them."""

REPLIES = 2
"""What the process keeps of an adapter for each organization: what it was sent, and its reply."""


@dataclass(frozen=True)
class Machine:
    """Where the base would be: `number` is the bytes of one of its numbers there, `lanes` the passes side by side.

    `free` are the bytes that nobody uses, `rate` the operations a second that large matrix products reach, None where
    that is not known; `devices` share the work, each with a copy of the base.
    """

    kind: str
    number: int
    lanes: int
    free: int
    rate: float | None = None
    devices: int = 1


@dataclass(frozen=True)
class Estimate:
    """What a run would take: bytes on each device, tokens and operations of a round, operations a second and seconds.

    `speed` and `seconds` are None where the machine's rate is not known.
    """

    libraries: int
    base: int
    adapters: int
    passes: int
    trained: int
    measured: int
    operations: int
    speed: float | None
    seconds: float | None

    @property
    def memory(self) -> int:
        """All bytes on one device."""
        return self.libraries + self.base + self.adapters + self.passes


def estimate(config: Config, size: BaseSize, organizations: int, machine: Machine, holdout: int = 0) -> Estimate:
    """Add up what a run would take; `holdout` are the tokens that all measure on, 0 for as many as they may."""
    federation, rank, length = config.federation, config.lora.default_rank, config.model.max_length
    training = max(1, round(federation.fraction * organizations))
    measuring = min(MEASURED_AT_MOST, max(1, round(federation.fraction_evaluate * organizations)))
    trained = training * federation.local_steps * federation.batch_size * length
    measured = holdout or measuring * config.data.holdout_tokens
    train = trained * size.training_operations(rank, length)
    look = measured * size.measuring_operations(rank, length)
    reached = REACHED.get(machine.kind, REACHED_ELSEWHERE)
    speed = None if machine.rate is None else machine.rate * machine.devices * reached
    adapter = 4 * size.adapter_parameters(rank)
    together = _together(config, size, training, adapter, machine)
    rows = together * federation.batch_size
    return Estimate(
        libraries=LIBRARIES.get(machine.kind, LIBRARIES_ELSEWHERE),
        base=size.parameters * machine.number,
        adapters=(STATES * together + REPLIES * organizations) * adapter,
        passes=rows * length * size.kept() * machine.number
        + machine.lanes * LOGITS * min(_chunk(machine), 4 * length * size.vocabulary * rows),
        trained=trained,
        measured=measured,
        operations=train + look,
        speed=speed,
        # Before the first round the base alone is measured.
        seconds=None if speed is None else (federation.rounds * (train + look) + look) / speed,
    )


def _together(config: Config, size: BaseSize, training: int, adapter: int, machine: Machine) -> int:
    """Give how many organizations are in passes at one time on one device, as `lora/cohort_size.py` chooses them."""
    batch, length = config.federation.batch_size, config.model.max_length
    share = -(-training // (machine.lanes * machine.devices))
    if isinstance(config.federation.cohort, int):
        return machine.lanes * min(share, config.federation.cohort)
    own = batch * length * size.kept() * machine.number + STATES * adapter
    fitting = int(USED_SHARE * machine.free) // own // machine.lanes
    filling = PASS_TOKENS.get(machine.kind, PASS_TOKENS_ELSEWHERE) // (batch * length)
    return machine.lanes * min(share, max(1, min(fitting, filling)))


def _chunk(machine: Machine) -> int:
    return CHUNK_BYTES.get(machine.kind, CHUNK_BYTES_ELSEWHERE)
