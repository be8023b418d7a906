"""The script that times the phases of a round: each is a function of this engine, and a phase in itself counts once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from round_phases import PHASES, Clock, located


@pytest.mark.parametrize("place", [place for _, place in PHASES])
def test_every_phase_is_a_function_of_the_engine(place: str) -> None:
    owner, name = located(place)
    assert callable(getattr(owner, name))


def test_a_phase_inside_itself_counts_once_and_gives_what_it_gave() -> None:
    clock = Clock()

    def counted(down: int) -> int:
        return down and 1 + again(down - 1)

    again = clock.timed("phase", counted)
    alone = clock.timed("other", lambda: 7)
    assert again(3) == 3
    assert alone() == 7
    assert set(clock.spent) == {"phase", "other"}
    assert clock.spent["phase"] > 0
