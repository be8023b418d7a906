"""How soon Flower asks again for an object that is not there yet.

A message can be seen before the objects that it holds have all arrived. Flower then asks for them again after 1 s,
after 2 s more, 4 s more, and so on: longer than they take. Here it is a twentieth of a second at first; the tries that
it has (500, up to 10 s apart) still last for more than an hour.
"""

from __future__ import annotations

from typing import Any

from flwr.supercore.inflatable import inflatable_utils

HOLDS_FOR_FLOWER = "1.41"
"""The two functions, and their arguments' names, were checked against this release."""

FIRST_AGAIN = 0.05

PULLING = ("pull_objects", "pull_and_inflate_object_from_tree")


def pull_soon() -> None:
    """Let this process ask for objects again after a short while."""
    for name in PULLING:
        function: Any = getattr(inflatable_utils, name)
        function.__kwdefaults__ |= {"initial_backoff": FIRST_AGAIN}
