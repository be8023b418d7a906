"""The SuperLink that we start: Flower's own, with the door in front, and told when its certificate is over."""

from datetime import UTC, datetime, timedelta
from threading import Event

import flwr
import httpx
import pytest
from flwr.proto.control_pb2 import ListRunsResponse
from flwr.proto.run_pb2 import Run, RunStatus
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from fedlora_tui.cli import main
from fedlora_tui.deployment import keys
from fedlora_tui.federation import guarded_superlink, left_over, refusals
from fedlora_tui.federation.door import Door
from fedlora_tui.federation.refusals import Refusals


@pytest.mark.filterwarnings("ignore")
def test_flowers_own_application_is_behind_the_door_in_this_release(monkeypatch, tmp_path):
    from flwr.superlink import extensions
    from flwr.superlink.main import create_app

    assert flwr.__version__.startswith(guarded_superlink.HOLDS_FOR_FLOWER)
    opened = Event()
    opened.set()
    counted = Refusals(tmp_path / "refused.json")
    monkeypatch.setattr(extensions, "get_middleware", lambda: (Middleware(Door, refusals=counted, opened=opened),))
    app = create_app()
    here, elsewhere = (TestClient(app, client=(address, 5000)) for address in ("127.0.0.1", "192.0.2.9"))
    assert here.get("/health").headers["x-flwr-version"] == flwr.__version__
    assert (here.get("/docs").status_code, elsewhere.get("/docs").status_code) == (200, 403)
    assert elsewhere.post("/v1/control/list-nodes").status_code == 403
    assert elsewhere.post("/v1/fleet/activate-node").status_code == 412
    assert [one.address for one in refusals.read(tmp_path / "refused.json")] == ["192.0.2.9"] * 2


def test_options_that_are_ours_are_taken_out_and_flowers_are_passed_on():
    theirs = ["--host", "0.0.0.0", "--port", "8443", "--ssl-ca-certfile", "ca.pem", "--enable-supernode-auth"]
    asked, rest = guarded_superlink._read(["--nodes", "nodes", *theirs, "--refused", "refused.json"])
    assert rest == theirs
    assert (str(asked.nodes), str(asked.refused), asked.host, asked.port) == ("nodes", "refused.json", "0.0.0.0", 8443)
    assert asked.own_apps
    assert not guarded_superlink._read(["--isolation", "process"])[0].own_apps
    asked, rest = guarded_superlink._read(["--insecure", "--nodes", "nodes"])
    assert (asked.nodes, asked.authority, asked.insecure, rest) == (None, None, True, ["--insecure"])


class Control:
    """The control API of a SuperLink with runs, by number; what it is asked to stop."""

    def __init__(self, **runs: Run) -> None:
        self.runs = {int(name[1:]): run for name, run in runs.items()}
        self.stopped: list[int] = []

    def ListRuns(self, request):  # noqa: N802
        assert request.limit >= len(self.runs)
        return ListRunsResponse(run_dict=self.runs)

    def StopRun(self, request):  # noqa: N802
        self.stopped.append(request.run_id)
        request = httpx.Request("POST", "http://here")
        raise httpx.HTTPStatusError("it is over", request=request, response=httpx.Response(409, request=request))


def _run(status: str, began: str = "") -> Run:
    return Run(status=RunStatus(status=status), running_at=began)


def test_only_runs_that_went_on_before_a_superlink_began_are_ended_by_it():
    earlier, began, later = (datetime(2026, 11, 26, hour, tzinfo=UTC) for hour in (11, 12, 13))
    control = Control(
        n1=_run("running", earlier.isoformat()),
        n2=_run("running", later.isoformat()),
        n3=_run("finished", earlier.isoformat()),
        n4=_run("pending"),
        n5=_run("running", earlier.replace(tzinfo=None).isoformat(" ")),
        n6=_run("starting"),
    )
    assert sorted(left_over.end_left_over(control, began)) == sorted(control.stopped) == [1, 5]


@pytest.mark.parametrize(("begins", "over"), [(0, False), (-400, True)])
def test_a_certificate_that_is_over_is_counted_for_nodes_refuse_it_unheard(tmp_path, begins, over):
    now = datetime.now(UTC) + timedelta(days=begins)
    pair = keys.new_server(keys.new_authority("authority", now), ("localhost",), now)
    (tmp_path / "server.pem").write_bytes(pair.public)
    asked, _ = guarded_superlink._read(["--ssl-certfile", str(tmp_path / "server.pem")])
    reason = guarded_superlink._said_over(asked, Refusals(tmp_path / "refused.json"))
    assert bool(reason) is over
    assert [one.reason for one in refusals.read(tmp_path / "refused.json")] == ([reason] if over else [])
    if over:
        assert "this server's certificate expired on" in reason


def test_a_superlink_without_its_certificates_is_one_line_of_ours(tmp_path, capsys):
    files = [str(tmp_path / name) for name in ("ca.pem", "server.pem", "server.key")]
    named = [*zip(("--ssl-ca-certfile", "--ssl-certfile", "--ssl-keyfile"), files, strict=True)]
    for words, said in (
        ([], "--ssl-ca-certfile and --ssl-certfile and --ssl-keyfile are missing: start it by server/start.sh"),
        ([*named[0], *named[1]], "--ssl-keyfile is missing"),
        ([word for pair in named for word in pair], f"--ssl-ca-certfile {files[0]}: no such file; copy it anew"),
    ):
        assert main(["deploy", "superlink", *words]) == 2
        told = capsys.readouterr()
        assert (told.out, told.err.count("\n"), "\x1b" in told.err) == ("", 1, False)
        assert said in told.err
