"""Stands where a SuperNode's process is started: it tells a link, waits as long as it was told to, and ends."""

from __future__ import annotations

import json
import os
import sys
import time

if __name__ == "__main__":
    told, seconds, status = json.loads(os.environ["FAKE_SUPERNODE"])
    # All at once: whoever looks at its log meanwhile finds none of it, or the whole.
    os.write(1, "".join(note + "\n" for state, note in told if state == "says").encode())
    for state, note in told:
        if state != "says":
            os.write(int(sys.argv[1]), (json.dumps({"state": state, "note": note}) + "\n").encode())
    time.sleep(seconds)
    sys.exit(status)
