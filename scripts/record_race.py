"""Records the race that docs/console.md shows beside the demo: `python scripts/record_race.py`.

Four real runs at different ranks, side by side with the embedded base on processors. Of their journals all stays that
the comparison draws from; the spread of updates, the machine, and the steps of all rounds but the last, most of the
bytes, are left out.
"""

from __future__ import annotations

import tempfile

from record_demo import BESIDE_PICTURES, scrubbed, write

from fedlora_tui.config import Setting, load
from fedlora_tui.engine.race import Race, entries
from fedlora_tui.engine.run import log_to_files_alone
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record

RACED = "lora.rank=2,4,8,16"
SETTINGS = {
    "model.device": "cpu",
    "federation.organizations": "4",
    "federation.rounds": "10",
    "federation.local_steps": "6",
    "federation.learning_rate": "3e-3",
    "lora.target_modules": "all-linear",
    "federation.seed": "7",
    "data.holdout_tokens": "1024",
    "runs.name": "ranks",
}
LEFT_OUT = (ev.UpdateMeasured, ev.Preparing, ev.Telemetry)


def recorded(runs: str) -> dict[str, list[Record]]:
    """Make the race, and give what each of its runs told, by its label."""
    fixed = [Setting(name, text, "") for name, text in {**SETTINGS, "runs.dir": runs}.items()]
    race = Race(entries([RACED], lambda raced: load(None, [*fixed, *raced])))
    said: dict[str, list[Record]] = {}
    for racer, run in zip(race.racers, race.runs, strict=True):
        run.subscribe(said.setdefault(racer.label, []).append)
    race.start()
    for run in race.runs:
        run.wait()
    race.close()
    if refused := [run.refusal for run in race.runs if run.refusal]:
        raise SystemExit(f"the race did not get to its end: {refused}")
    return said


def _kept(event: ev.Event) -> bool:
    if isinstance(event, ev.TrainStep):
        return event.round == int(SETTINGS["federation.rounds"])
    return not isinstance(event, LEFT_OUT)


def main() -> None:
    """Record them and write them down."""
    log_to_files_alone()
    with tempfile.TemporaryDirectory() as runs:
        said = recorded(runs)
        for label, records in said.items():
            kept = [record for record in records if _kept(record.event)]
            name = f"{SETTINGS['runs.name']}-{label.replace(' ', '-')}"
            write(scrubbed(kept, runs, name), BESIDE_PICTURES / "race" / f"{label.replace(' ', '-')}.jsonl")


if __name__ == "__main__":
    main()
