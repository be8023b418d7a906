"""Why a round cannot go on: each is a run that ends as failed, or one that waits for its operator."""

from __future__ import annotations


class RoundError(Exception):
    """A round that cannot be used: the run ends as failed, with this reason."""


class TooFewError(RoundError):
    """A round that cannot begin for want of organizations, in a run that nobody steers."""


class UnusableRoundError(RoundError):
    """A round that gives no adapter to go on with: it may be gone through again, once that is put right."""


class TooFewRepliesError(UnusableRoundError):
    """A round that cannot be aggregated for want of usable replies."""


class NotFiniteError(UnusableRoundError):
    """A round whose new adapter would hold nan or infinity."""
