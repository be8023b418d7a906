"""How a round lives with replies that are wrong on purpose: one file a defence, pure functions, one registry.

A defence stands between the replies and the aggregation method. Some choose, weigh or shorten replies, and the method
goes on with what they give; the coordinate-wise ones make the adapter themselves. Sums run in float64 and in the order
of names (or of values), and results are rounded once, to the replies' format.

What is judged is a product B A, never a basis: an honest product in a hostile basis, (1e6 B, 1e-6 A), is an honest
product. Methods that work on products are safe with it; a plain mean of factors is not, and `median`, `trimmed-mean`
and `bulyan` are there for that.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedlora_tui.aggregation.method import Reply, Start, shares
from fedlora_tui.aggregation.robust.bulyan import BULYAN
from fedlora_tui.aggregation.robust.defence import Defence, Defended
from fedlora_tui.aggregation.robust.geometric_median import GEOMETRIC_MEDIAN
from fedlora_tui.aggregation.robust.krum import KRUM
from fedlora_tui.aggregation.robust.median import MEDIAN
from fedlora_tui.aggregation.robust.multi_krum import MULTI_KRUM
from fedlora_tui.aggregation.robust.norm_bound import NORM_BOUND
from fedlora_tui.aggregation.robust.trimmed_mean import TRIMMED_MEAN

DEFENCES: dict[str, Defence] = {
    defence.name: defence for defence in (MEDIAN, TRIMMED_MEAN, KRUM, MULTI_KRUM, BULYAN, GEOMETRIC_MEDIAN, NORM_BOUND)
}
"""Every defence by the name that `federation.robust` takes."""


def check_size(name: str, count: int, byzantine: int) -> None:
    """Refuse what the theory does not allow: ValueError where `count` replies are too few for f = `byzantine`.

    With f = 0 nothing is expected to be wrong, and each defence does what it does: see its own file.
    """
    if byzantine < 0:
        raise ValueError(f"byzantine = {byzantine}: a number of replies that may be wrong is 0 or more")
    defence = DEFENCES[name]
    least = defence.least(byzantine)
    if count < least:
        raise ValueError(
            f"{name} needs {defence.per_byzantine}f+{defence.beyond} replies: with byzantine = {byzantine} "
            f"that is {least}, there {'is' if count == 1 else 'are'} {count}"
        )


def defend(name: str, byzantine: int, replies: Sequence[Reply], start: Start) -> Defended:
    """Let a defence look at a round's replies, up to `byzantine` of which may be wrong, before they are aggregated.

    Organizations of weight zero would count for nothing: they are not among those counted, nor among those that go on
    or are left out. ValueError where too few count, or where replies do not fit together.
    """
    counted = [reply for _, reply in shares(replies) if reply.weight > 0]
    check_size(name, len(counted), byzantine)
    return DEFENCES[name].apply(counted, start, byzantine)


__all__ = ["DEFENCES", "Defence", "Defended", "check_size", "defend"]
