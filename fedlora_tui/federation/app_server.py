"""The process in which a node's app lives: it takes one task after the other from its SuperNode, and stays.

`python -m fedlora_tui.federation.app_server MODULE:APP ...`: the dots are what flower-superexec takes, in whose place
it stands. Flower starts a process for every message, which imports torch and reads base and text anew; here only the
first message waits for that. The app is the one that is installed here, whatever the bundle holds that came with a run:
nothing of that is imported.

A task that its SuperNode has given up (the run was stopped) ends the process, in whatever it is: a base in the midst of
training is not gone on with. Whoever started it starts it again.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from flwr.app import Context, Error, Message
from flwr.common.constant import ErrorCode, SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.app_utils import start_parent_process_monitor
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.tls import validate_and_resolve_root_certificates
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from fedlora_tui.federation.pulling import pull_soon

HOLDS_FOR_FLOWER = "1.41"
"""What is imported above from below flwr.supercore and flwr.supernode was checked against this release."""

SHORTEST, LONGEST, SHARE_OF_SILENCE = 0.05, 0.25, 0.05
"""How long a process without a task rests before it asks its SuperNode, on the same machine, for the next."""

INTERRUPTED = 130

App = Callable[[Message, Context], Message]

logger = logging.getLogger(__name__)


class AppServer:
    """Answers the messages of one SuperNode, one after the other."""

    def __init__(self, address: str, app: App, certificates: bytes | None = None) -> None:
        """`address` is that of the SuperNode's Runtime API; without `certificates` it is spoken to without TLS."""
        self._address, self._app, self._certificates = address, app, certificates

    def serve(self, goes_on: Callable[[], bool] = lambda: True, rest: Callable[[float], None] = time.sleep) -> None:
        """Take tasks for as long as it `goes_on`."""
        client, since = self._client("SuperExec"), time.monotonic()
        wanted = AcquireTaskRequest(supported_task_types={TaskType.CLIENT_APP})
        try:
            while goes_on():
                came = client.AcquireTask(wanted)
                if came.HasField("task") and came.token:
                    self._do(came.token)
                    since = time.monotonic()
                else:
                    rest(min(LONGEST, max(SHORTEST, SHARE_OF_SILENCE * (time.monotonic() - since))))
        finally:
            client.close()

    def _do(self, token: str) -> None:
        """Do one task as flwr-clientapp does, but for what ends that process."""
        client = self._client("flwr-clientapp", RuntimeTokenHttpInterceptor(token))
        heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
        heartbeat.start()
        context: Context | None = None
        status, details = SubStatus.FAILED, "the task could not be read"
        try:
            message, context, _, _ = pull_task_input(client)
            reply, details = self._answered(message, context)
            push_message(client, reply, context)
            status = SubStatus.FAILED if details else SubStatus.COMPLETED
        except Exception:
            # Its SuperNode answers in its place when the task is given back as failed.
            logger.exception("a task could not be done")
        # A task that was given up, by which this process ends, is past all this.
        heartbeat.stop()  # for a task that is over it would end this process
        push_task_output(client, context, status, details)
        client.close()

    def _answered(self, message: Message, context: Context) -> tuple[Message, str]:
        """Give the app's reply, and the bare name of an error: its text may quote what may not travel."""
        try:
            return self._app(message, context), ""
        except Exception as error:
            logger.exception("the app broke")
            name = type(error).__name__
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, name), reply_to=message), name

    def _client(self, name: str, *more: RuntimeTokenHttpInterceptor) -> RuntimeHttpClient:
        return RuntimeHttpClient.from_server_address(
            server_address=self._address,
            insecure=self._certificates is None,
            root_certificates=self._certificates,
            interceptors=[RuntimeVersionHttpInterceptor(component_name=name), *more],
            retry_invoker=make_simple_http_retry_invoker(),
        )


def named(reference: str) -> Any:
    """Import what `MODULE:NAME` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def main(words: Sequence[str]) -> None:
    """Serve until the SuperNode is gone, a signal comes, or its API answers no more."""
    parser = argparse.ArgumentParser(prog="app_server")
    parser.add_argument("app")
    parser.add_argument("--runtime-api-address", required=True)
    parser.add_argument("--parent-pid", type=int)
    parser.add_argument("--insecure", action="store_true")
    parser.add_argument("--root-certificates")
    parser.add_argument("--allow-runtime-dependency-installation", action="store_true", help="nothing is installed")
    given = parser.parse_args(words)
    # A shell that starts something in the background may have it ignore this, and by this Flower ends a process whose
    # task was given up.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    pull_soon()
    if given.parent_pid is not None:
        start_parent_process_monitor(given.parent_pid)
    certificates = validate_and_resolve_root_certificates(given.root_certificates, given.insecure)
    try:
        AppServer(given.runtime_api_address, named(given.app), certificates).serve()
    except KeyboardInterrupt:
        # Threads of torch or of a heartbeat keep nothing that would have to be put away.
        os._exit(INTERRUPTED)


if __name__ == "__main__":
    main(sys.argv[1:])
