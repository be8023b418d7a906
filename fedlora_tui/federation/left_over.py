"""Runs that a SuperLink left in the midst of when it ended: nobody goes on with them, so the next one ends them.

By itself Flower finds that out when their ServerApps' heartbeats have been missing for a minute. Until then a node
that was being sent one of their messages asks for the rest of it again and again, and takes no other.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime

import httpx
from flwr.common.constant import Status
from flwr.proto.control_pb2 import ListRunsRequest, StopRunRequest
from flwr.supercore.control import ControlHttpClient

_log = logging.getLogger(__name__)
MOST_RUNS = 1000
"""As many of the newest runs are looked at."""


def end_left_over(client: ControlHttpClient, began: datetime) -> list[int]:
    """End the runs whose ServerApps began before this SuperLink did (`began`), and give their numbers.

    Their ServerApps were its predecessor's own processes, and ended with it. One that has yet to be started stays.
    """
    listed = client.ListRuns(ListRunsRequest(limit=MOST_RUNS)).run_dict
    left = [
        number
        for number, run in listed.items()
        if run.status.status == Status.RUNNING and run.running_at and _time(run.running_at) < began
    ]
    for number in left:
        # One that Flower itself has just given up is over.
        with suppress(httpx.HTTPStatusError):
            client.StopRun(StopRunRequest(run_id=number))
        _log.warning("Run %s was left over from before this SuperLink was started: it is ended", number)
    return left


def _time(told: str) -> datetime:
    found = datetime.fromisoformat(told)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
