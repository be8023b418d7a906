"""What `deploy check` looks at of an organization's own: its text, as a run reads it by default, and its policy."""

from __future__ import annotations

from pathlib import Path

from fedlora_tui.config import DataConfig
from fedlora_tui.errors import UserError
from fedlora_tui.node_policy import load_policy, words
from fedlora_tui.organizations.elsewhere import documents
from fedlora_tui.organizations.folder import KINDS
from fedlora_tui.organizations.text import in_words, split

NO_TEXT = f"put this organization's text files there ({KINDS})"
REFUSES_NOTHING = "it refuses nothing: it takes part in whatever is asked"


def text_found(organization: str, data: Path) -> str:
    """Count an organization's documents. Raises UserError where a run would find too little, in words of what to do.

    A run may name other fields (`data.text_field`) than those that are read by default.
    """
    if not data.is_dir():
        raise UserError(f"there is no such folder; make it, and {NO_TEXT}")
    if not any(data.iterdir()):
        raise UserError(f"there is no text in it; {NO_TEXT}")
    defaults = DataConfig()
    text = split(organization, documents(f"folder:{data.absolute()}", defaults), defaults.holdout, seed=0)
    dropped = f"; left out were {in_words(text.dropped)}" if sum(text.dropped.values()) else ""
    return f"{text.documents:,} documents, {len(text.holdout):,} of them held out{dropped}"


def policy_found(policy: Path) -> str:
    """Say in short what a policy limits. Raises UserError where it cannot be read."""
    return words(load_policy(policy)) or REFUSES_NOTHING
