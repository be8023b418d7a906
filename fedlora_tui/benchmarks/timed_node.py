"""A node's app that notes when it worked, for `bench deployed`: a line of JSON a message, in a file of its own."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from fedlora_tui.node.client_app import app as _app

TIMES = "times"
"""The key of the node's configuration that names the file."""


class _Timed(type(_app)):  # type: ignore[misc]
    """Flower's ClientApp around ours."""

    def __call__(self, message: Any, context: Any) -> Any:
        """Answer a message, and note from when to when that took."""
        began = time.time()
        reply = _app(message, context)
        noted = {"kind": message.metadata.message_type, "round": message.metadata.group_id}
        line = json.dumps({**noted, "began": began, "ended": time.time(), "process": os.getpid()})
        with Path(str(context.node_config[TIMES])).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return reply


app = _Timed()
