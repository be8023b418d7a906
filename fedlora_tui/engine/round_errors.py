"""Why a round cannot go on: each is a run that ends as failed, or one that waits for its operator."""

from __future__ import annotations


class RoundError(Exception):
    """A round that cannot be used: the run ends as failed, with this reason."""


class TooFewError(RoundError):
    """A round that cannot begin for want of organizations, in a run that nobody steers."""


class TooFewRepliesError(RoundError):
    """A round that cannot be aggregated for want of usable replies: it may be gone through again."""
