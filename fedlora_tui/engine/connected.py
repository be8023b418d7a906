"""Organizations on machines of their own: who is connected, what each said of itself, and who may take part.

A node is asked who it is as soon as it is seen, and not waited for: between two rounds a look shows whose answers are
here. The first node of a name keeps it for as long as it is connected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedlora_tui.config import Config
from fedlora_tui.engine.attendance import NOBODY, Seen
from fedlora_tui.engine.knobs import unguarded
from fedlora_tui.engine.prepare import Counts, told_of
from fedlora_tui.engine.willing import asked_of, refused_in_words, unwilling
from fedlora_tui.errors import UserError
from fedlora_tui.federation.admission import Admission
from fedlora_tui.federation.deployed_grid import DeployedGrid
from fedlora_tui.federation.introduction import Introduction
from fedlora_tui.node_policy import Asked
from fedlora_tui.organizations.text import Documents
from fedlora_tui.protocol.events import NodeRefused, TextCounts, Warned

GONE, BACK = "its SuperNode is gone", "its SuperNode connected anew"
AWAITING_SECONDS = 0.5
"""How long a run that lacks organizations rests before it looks again."""

ASKING_AGAIN_SECONDS = 30.0
"""After how long a node that could not take part is asked again: what it lacked may be there by then."""


@dataclass
class _Node:
    """One connection of a node: what changes when it connects anew, the question to it, and what it answered.

    `again` is when a node that could not take part is asked again (seconds of a clock), `problem` what was told of it.
    `told` says that it was told of, where it has another's name; `refused` what its policy refused of a round and why,
    `unwilling` why it takes no part as the run is set now, `said` which reason to stay out was told last.
    """

    since: str
    question: str
    introduction: Introduction | None = None
    again: float | None = None
    problem: Warned | NodeRefused | None = None
    told: bool = False
    refused: tuple[Asked, str] | None = None
    unwilling: str = ""
    said: str = ""


@dataclass
class _Memory:
    nodes: dict[int, _Node] = field(default_factory=dict)
    named: dict[str, tuple[int, str]] = field(default_factory=dict)
    present: dict[str, tuple[int, str]] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    told: list[Warned | NodeRefused] = field(default_factory=list)
    lack: str = ""


class Connected:
    """Knows the nodes of a deployed federation; what a run asks who is here."""

    def __init__(
        self,
        grid: DeployedGrid,
        admission: Admission,
        config: Config | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`config` is how the run is set; None: whether policies allow that is not looked at yet."""
        self._grid, self._admission, self._config = grid, admission, config
        self._sleep, self._clock = sleep, clock
        self._memory = _Memory()

    @property
    def here(self) -> Mapping[str, Introduction]:
        """Give what each organization that is here and takes part said of itself."""
        found = {}
        for name, (node, _) in self._memory.named.items():
            known = self._memory.nodes[node]
            if known.introduction is not None and not known.unwilling:
                found[name] = known.introduction
        return found

    @property
    def unwilling(self) -> Mapping[str, str]:
        """Give why each organization that is here takes no part: what its policy refuses."""
        nodes, named = self._memory.nodes, sorted(self._memory.named.items())
        return {name: nodes[node].unwilling for name, (node, _) in named if nodes[node].unwilling}

    def look(
        self, present: Collection[str], config: Config | None = None, refusals: Mapping[str, str] = NOBODY
    ) -> Seen:
        """Look who is here and takes part, against those who take part."""
        self._heard(refusals)
        self._config = config or self._config
        self.meet()
        memory, unwilling = self._memory, self.unwilling
        named = {name: own for name, own in memory.named.items() if name not in unwilling}
        added = memory.dropped & set(present)
        memory.dropped -= added
        gone = {name: unwilling.get(name, GONE) for name in present if name not in named}
        gone |= {
            name: BACK
            for name in present
            if name not in gone and name not in added and memory.present.get(name) != named[name]
        }
        staying = set(present) - set(gone)
        come, crowded = self._let_in(sorted(set(named) - staying - memory.dropped), len(staying))
        self._tell_why_not({**unwilling, **crowded}, present)
        memory.present = {name: named[name] for name in (*staying, *come)}
        told, memory.told = memory.told, []
        warnings = tuple(event for event in told if isinstance(event, Warned))
        return Seen(come, gone, warnings, tuple(event for event in told if isinstance(event, NodeRefused)))

    def _let_in(self, names: Sequence[str], others: int) -> tuple[tuple[str, ...], dict[str, str]]:
        """Give those who may join, and why not of the rest, whose number the protection does not allow."""
        come, crowded = list[str](), dict[str, str]()
        for name in names:
            reason = unguarded(self._config, others + len(come) + 1) if self._config is not None else None
            if reason is None:
                come.append(name)
            else:
                crowded[name] = f"{name} cannot join: {reason}"
        return tuple(come), crowded

    def _heard(self, refusals: Mapping[str, str]) -> None:
        """Take in whose policy refused the round that the last look was for: what was asked then is not asked again."""
        memory = self._memory
        for name in refusals.keys() & memory.named.keys():
            known = memory.nodes[memory.named[name][0]]
            if self._config is not None and known.introduction is not None:
                reason = refused_in_words(refusals[name], known.introduction)
                known.refused = asked_of(self._config, known.introduction), reason

    def _judge(self, known: _Node) -> str:
        """Say why a node's organization takes no part in the run as it is set now; empty where it does."""
        if self._config is None or known.introduction is None:
            return ""
        asked = asked_of(self._config, known.introduction)
        if known.refused is not None and known.refused[0] == asked:
            return known.refused[1]
        return unwilling(asked, known.introduction)

    def _tell_why_not(self, reasons: Mapping[str, str], present: Collection[str]) -> None:
        """Have each reason to stay out told once; an unwilling one that took part until now, its leaving tells."""
        for name, (node, _) in sorted(self._memory.named.items()):
            known, why = self._memory.nodes[node], reasons.get(name, "")
            if why and why != known.said and not (known.unwilling and name in present):
                self._memory.told.append(Warned(why, name))
            known.said = why

    def tell_again(self, told: Collection[Warned | NodeRefused]) -> None:
        """Have what was told told by the next look, too: the last time nobody kept a journal yet."""
        self._memory.told += told

    def dropped(self, organization: str) -> None:
        """The operator lets an organization go: it does not come back by itself."""
        self._memory.dropped.add(organization)

    def awaits(self, lack: str) -> bool:
        """Wait a moment for nodes; what which round lacks, and whose policy has it so, is told once."""
        lack = "; ".join((f"{lack} (federation.min_organizations)", *self.unwilling.values()))
        if lack != self._memory.lack:
            self._memory.lack = lack
            self._memory.told.append(Warned(f"waits for SuperNodes: {lack}", awaits=True))
        self._sleep(AWAITING_SECONDS)
        return True

    def meet(self) -> None:
        """Ask nodes that are new who they are, others again, take in what they answered, forget those who are gone."""
        memory, here = self._memory, self._grid.here()
        for node in [node for node, known in memory.nodes.items() if here.get(node) != known.since]:
            del memory.nodes[node]
        for node, since in here.items():
            known = memory.nodes.setdefault(node, _Node(since, "", again=self._clock()))
            if known.again is not None and self._clock() >= known.again:
                known.question = self._grid.ask_who(node)
                # A question that is not on its way is asked again, too.
                known.again = None if known.question else self._clock() + ASKING_AGAIN_SECONDS
        asked = {known.question: node for node, known in memory.nodes.items() if known.question}
        for number, reply in self._grid.answers(asked).items():
            self._take_in(asked[number], reply)
        self._name()

    def _take_in(self, node: int, reply: Any) -> None:
        """Take in what a node answered: who it is, or why it takes no part, which is told once a connection.

        Who could not take part (it is not set up, its app broke) is asked again later.
        """
        known = self._memory.nodes[node]
        known.question = ""
        judged = self._admission.judged(reply, self._grid.key_of(node))
        if isinstance(judged, Introduction):
            known.introduction = judged
            return
        if judged != known.problem:
            self._memory.told.append(judged)
        known.problem = judged
        if isinstance(judged, Warned):
            known.again = self._clock() + ASKING_AGAIN_SECONDS

    def _name(self) -> None:
        """Let every name stand for one node: who has it keeps it."""
        memory = self._memory
        memory.named = {
            name: (node, since)
            for name, (node, since) in memory.named.items()
            if node in memory.nodes and memory.nodes[node].since == since
        }
        for node, known in sorted(memory.nodes.items()):
            if known.introduction is None:
                continue
            name, own = known.introduction.organization, (node, known.since)
            if memory.named.setdefault(name, own) != own and not known.told:
                known.told = True
                said = f"a second SuperNode calls itself {name}: it waits until the first one is gone"
                memory.told.append(Warned(said, name))
        for known in memory.nodes.values():
            known.unwilling = self._judge(known)
        self._grid.named({name: node for name, (node, _) in memory.named.items()})


class NodesSource:
    """Organizations as those of the nodes that are connected."""

    passed_over: Mapping[str, Mapping[str, int]] = {}

    def __init__(self, connected: Connected) -> None:
        self._connected = connected

    def first(self, count: int | None) -> tuple[str, ...]:
        """Give the names of all that are here."""
        return tuple(sorted(self._connected.here))

    def another(self, taken: Collection[str]) -> str | None:
        """Give one that is here and takes no part."""
        return next((name for name in self.first(None) if name not in taken), None)

    def documents(self, name: str) -> Documents:
        """Refuse: text stays on its own machine."""
        raise UserError(f"the text of {name} is on its own machine")

    def names_left_reason(self) -> str:
        """Say why nobody else can be added."""
        said = "all that are connected take part: an organization joins when its SuperNode connects"
        return "; ".join(self._connected.unwilling.values()) or said


class IntroducedTexts:
    """What is known of text that is on other machines: the counts that its nodes told."""

    def __init__(self, connected: Connected) -> None:
        self.source = NodesSource(connected)
        self._connected = connected
        self._counts: dict[str, Counts] = {}

    def lie_at(self, organization: str, place: str | None) -> None:
        """Its own machine knows where an organization's text lies."""

    def read(self, organization: str) -> Counts:
        """Give the counts that an organization's node told. Raises UserError where none is here."""
        said = self._connected.here.get(organization)
        if said is None:
            raise UserError("no SuperNode of that organization is connected")
        more = TextCounts({}, said.longest, said.kinds, said.rows, None)
        self._counts[organization] = Counts(said.documents, said.tokens, said.holdout_tokens, more)
        return self._counts[organization]

    def known(self, organization: str) -> bool:
        """Tell whether an organization's text is counted."""
        return organization in self._counts

    def counts(self, organization: str) -> Counts:
        """Give the counts of an organization that takes part."""
        return self._counts[organization]

    def told(self, organization: str) -> dict[str, Any]:
        """Give what an event tells of a text and of what its node allows; its distance from the others nobody knows."""
        said = self._connected.here.get(organization)
        return told_of(self._counts[organization], None) | {"policy": said.policy if said is not None else ""}

    def forget(self, organization: str) -> None:
        """Let go of an organization's counts."""
        self._counts.pop(organization, None)
