"""`bench secure`: what a round costs whose updates are summed unseen, against the same round in the plain.

Each row is a whole run: the same text, start and batches, plain and with privacy.secure_sum, by organizations.
A plain round also measures drift and every update's length, which nobody can measure of a sum.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from fedlora_tui.benchmarks.report import Cell, Report
from fedlora_tui.benchmarks.whole_run import losses_at, records_of
from fedlora_tui.config import Config, PrivacyConfig
from fedlora_tui.errors import UserError
from fedlora_tui.privacy.secure_sum.fixed_point import Fixed
from fedlora_tui.privacy.secure_sum.keys import NONCE_BYTES, Session
from fedlora_tui.privacy.secure_sum.member import Member
from fedlora_tui.privacy.secure_sum.server import Adder
from fedlora_tui.protocol.events import Event, Record, RoundFinished, SecureSummed

ROUNDS = 4
"""Rounds of a run where the configuration does not say."""

KIB = 2**10
HEADINGS = {
    "name": "organizations",
    "up_kib": "up KiB",
    "down_kib": "down KiB",
    "shares_kib": "of it keys, shares",
    "sum_seconds": "sum s",
    "own_processor_seconds": "processor s, each",
    "server_processor_seconds": "the server",
    "round_seconds": "a round s",
    "loss": "hold-out",
    "bound": "off by at most",
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Secure:
    """The benchmark: a configuration, the numbers of organizations to go through, whom to tell."""

    config: Config
    organizations: tuple[int, ...]
    say: Say

    def report(self) -> Report:
        """Run each plain and secure, and lay them out. Raises UserError where a run cannot begin, or fails."""
        if not self.organizations or min(self.organizations) < 3:
            raise UserError("bench secure: a secure sum takes 3 organizations or more (--organizations 8,32)")
        rows = []
        for count in self.organizations:
            for way in ("plain", "secure"):
                self.say(f"{count} organizations, {way}")
                config = asked(self.config, count, way == "secure")
                rows.append(row_of(count, way, records_of(config), config.federation.rounds, config.privacy))
        return Report("secure", rows, ratios(rows), self._notes(), headings=HEADINGS)

    def _notes(self) -> list[str]:
        federation = asked(self.config, max(self.organizations), True).federation
        return [
            f"{federation.rounds} rounds of {federation.local_steps} steps, {federation.aggregation}; KiB: of one "
            "organization and round, medians; sum s: keys, shares and unmasking, without masking; processor s: of the "
            "sum with no messages, masking included, where one drops out; a round s: the median from the second on; "
            "off by at most: any number of the mean update, by rounding to whole steps"
        ]


def asked(config: Config, organizations: int, secure: bool) -> Config:
    """Give the configuration of one run."""
    given = config.given | {"federation.organizations"}
    federation = replace(
        config.federation,
        organizations=organizations,
        fraction=1.0,
        rounds=config.federation.rounds if "federation.rounds" in given else ROUNDS,
    )
    privacy = replace(config.privacy, secure_sum=True) if secure else without_sum(config.privacy)
    return replace(config, given=given, federation=federation, privacy=privacy)


def without_sum(privacy: PrivacyConfig) -> PrivacyConfig:
    """Give the same protection with no secure sum, and so none of its keys."""
    sums = {item.name: item.default for item in fields(PrivacyConfig) if item.name.startswith("secure_")}
    return replace(privacy, **sums)  # type: ignore[arg-type]


def row_of(count: int, way: str, records: Sequence[Record], rounds: int, privacy: PrivacyConfig) -> dict[str, Cell]:
    """Lay out one run."""
    events = [record.event for record in records]
    finished, sums = [own for own in events if isinstance(own, RoundFinished)], list(_sums(events))
    own, server = alone(count, sums[0].numbers, privacy) if sums else (None, None)
    return {
        "name": f"{count} {way}",
        "organizations": count,
        "way": way,
        "up_kib": statistics.median(own.bytes_up for own in finished) / count / KIB,
        "down_kib": statistics.median(own.bytes_down for own in finished) / count / KIB,
        "shares_kib": _median([(own.bytes_up + own.bytes_down) / count / KIB for own in sums]),
        "sum_seconds": _median([own.seconds for own in sums]),
        "own_processor_seconds": own,
        "server_processor_seconds": server,
        "round_seconds": _median([own.seconds for own in finished[1:]]),
        "loss": losses_at(records, rounds).mean(),
        "bound": max((own.bound for own in sums), default=None),
    }


def alone(count: int, numbers: int, privacy: PrivacyConfig) -> tuple[float, float]:
    """Go through a sum with no messages; give the processor seconds of one organization, and of the server.

    The last organization drops out when all have shared, so that the server has its pairs' masks to take out; of three
    none can.
    """
    session, fixed = Session(1, bytes(NONCE_BYTES)), Fixed(count, 1, privacy.secure_range)
    adder = Adder(session, privacy.secure_neighbours, privacy.secure_threshold)
    words = fixed.words(np.zeros(numbers), 1)
    whole = time.process_time()
    members = [Member(session) for _ in range(count)]
    requests = adder.advertised({place: own.public for place, own in enumerate(members)})
    shared = {place: members[place].share(place, own.threshold, own.peers) for place, own in requests.items()}
    masked = {}
    for place, boxes in adder.shared(shared).items():
        members[place].receive(boxes)
        masked[place] = members[place].mask(words)
    server = time.process_time()
    own = (server - whole) / count
    if count > adder.threshold:
        del masked[count - 1]
    for place, request in adder.ask(masked).items():
        adder.revealed(place, members[place].unmask(request.alive, request.gone))
    adder.total(masked)
    return own, time.process_time() - server


def ratios(rows: Sequence[Mapping[str, Cell]]) -> dict[str, dict[str, Cell]]:
    """Give, by organizations, a secure round's bytes up and seconds over a plain one's."""
    found: dict[str, dict[str, Cell]] = {"bytes_up": {}, "seconds": {}}
    for plain, secure in zip(rows[::2], rows[1::2], strict=True):
        for name, column in (("bytes_up", "up_kib"), ("seconds", "round_seconds")):
            over, under = secure[column], plain[column]
            told = isinstance(over, float) and isinstance(under, float) and under > 0
            found[name][str(plain["organizations"])] = over / under if told else None  # type: ignore[operator]
    return found


def _sums(events: Iterable[Event]) -> Iterable[SecureSummed]:
    return (own for own in events if isinstance(own, SecureSummed))


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
