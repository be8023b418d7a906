"""Flower's SuperLink with the door in front: `fedlora-tui deploy superlink`, what a server's start script starts.

All options but `--nodes` and `--refused` are those of `flower-superlink`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography import x509
from flwr.common.constant import ISOLATION_MODE_SUBPROCESS
from flwr.supercore.address import resolve_bind_address
from flwr.supercore.logger import console_handler
from flwr.superlink import extensions
from flwr.superlink.cli import flower_superlink
from starlette.middleware import Middleware

from fedlora_tui.errors import UserError
from fedlora_tui.federation import superlink_face
from fedlora_tui.federation.door import Door, fingerprint
from fedlora_tui.federation.left_over import end_left_over
from fedlora_tui.federation.refusals import FILE, Refusals
from fedlora_tui.federation.roll import Roll, control_client, read_keys
from fedlora_tui.federation.standing import AUTHENTICATED, INSECURE, NODES, STANDING

HOLDS_FOR_FLOWER = "1.41"
"""The one private touch below (`extensions.get_middleware`) was checked against this release."""
FLOWER_HOME = "flower"
LOOK_SECONDS = 0.5
"""How long lies between two looks at the folder of public keys."""
_log = logging.getLogger("flwr")


@dataclass(frozen=True)
class Asked:
    """What of the command line concerns us, too; `own_apps`: ServerApps are started here, and end with this process."""

    nodes: Path | None
    refused: Path | None
    host: str
    port: int
    authority: Path | None
    certificate: Path | None
    insecure: bool
    own_apps: bool


def serve(arguments: Sequence[str]) -> None:
    """Serve until a signal; `arguments` are those of `flower-superlink`, and ours. UserError without certificates."""
    asked, rest = _read(arguments)
    _check_certificates(rest)
    for name, place in ((FILE, asked.refused), (NODES, asked.nodes)):
        if place is not None:
            os.environ[name] = str(place.resolve())
    os.environ[STANDING] = INSECURE if asked.insecure or "--enable-supernode-auth" not in rest else AUTHENTICATED
    _surround()
    # Whoever could write the header of a proxy would be taken for somebody on this machine.
    os.environ.pop("FORWARDED_ALLOW_IPS", None)
    logging.getLogger("flwr").addHandler(console_handler)
    refusals = Refusals(asked.refused)
    opened = threading.Event()
    extensions.get_middleware = lambda: (Middleware(Door, refusals=refusals, opened=opened),)
    threading.Thread(target=_attend, args=(asked, refusals, opened), name="roll of nodes", daemon=True).start()
    superlink_face.speak_up()
    superlink_face.end_soon()
    sys.argv = ["flower-superlink", *rest]
    flower_superlink()


def _surround() -> None:
    """Let the processes that Flower starts find its programs beside ours, and call nobody."""
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    os.environ.setdefault("FLWR_HOME", str(Path(FLOWER_HOME).absolute()))
    os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
    os.environ.setdefault("FLWR_SUPEREXEC_TASK_POLL_INTERVAL", "0.1")


def _read(arguments: Sequence[str]) -> tuple[Asked, list[str]]:
    own = argparse.ArgumentParser("fedlora-tui deploy superlink", add_help=False, allow_abbrev=False)
    own.add_argument("--nodes", type=Path)
    own.add_argument("--refused", type=Path)
    given, rest = own.parse_known_args(list(arguments))
    flower = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    flower.add_argument("--host", default="127.0.0.1")
    flower.add_argument("--port", type=int, default=8000)
    flower.add_argument("--ssl-ca-certfile", type=Path)
    flower.add_argument("--ssl-certfile", type=Path)
    flower.add_argument("--insecure", action="store_true")
    flower.add_argument("--isolation", default=ISOLATION_MODE_SUBPROCESS)
    theirs, _ = flower.parse_known_args(rest)
    secure = not theirs.insecure
    asked = Asked(
        given.nodes if secure else None,
        given.refused,
        theirs.host,
        theirs.port,
        theirs.ssl_ca_certfile if secure else None,
        theirs.ssl_certfile if secure else None,
        theirs.insecure,
        theirs.isolation == ISOLATION_MODE_SUBPROCESS,
    )
    return asked, rest


def _check_certificates(arguments: Sequence[str]) -> None:
    """Raise UserError where neither certificates are named nor their absence is asked for by name."""
    names = ("--ssl-ca-certfile", "--ssl-certfile", "--ssl-keyfile")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--insecure", action="store_true")
    for name in names:
        parser.add_argument(name, type=Path)
    given, _ = parser.parse_known_args(list(arguments))
    files = {name: getattr(given, name[2:].replace("-", "_")) for name in names}
    if given.insecure:
        return
    if missing := [name for name, file in files.items() if file is None]:
        raise UserError(
            f"deploy superlink: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: start it by "
            "server/start.sh, which fedlora-tui deploy init writes, or with --insecure for no protection at all"
        )
    for name, file in files.items():
        if not file.is_file():
            raise UserError(f"deploy superlink: {name} {file}: no such file; copy it anew from where it was made")


def _attend(asked: Asked, refusals: Refusals, opened: threading.Event) -> None:
    """Keep the list of nodes equal to the folder, and say when that is ready and when the certificate is over.

    It goes on until the process ends.
    """
    host = f"[{asked.host}]" if ":" in asked.host else asked.host
    address = resolve_bind_address(f"{host}:{asked.port}")
    began = datetime.now(UTC)
    agreed: object = None
    told = over = ""
    while True:
        time.sleep(LOOK_SECONDS)
        refusals.write()
        try:
            over = over or _said_over(asked, refusals)
            files = _files(asked.nodes)
            if files != agreed:
                let_in = _settle(asked, address, began if agreed is None else None, refusals)
                if not opened.is_set():
                    opened.set()
                    superlink_face.say_ready(f"{asked.host}:{asked.port}", let_in)
            agreed = files
        except httpx.TransportError:
            continue  # it does not answer yet
        except Exception as error:  # the thread must live as long as the process
            if told != str(error):
                _log.error("The roll of nodes could not be kept: %s", error)
            told = str(error)


def _settle(asked: Asked, address: str, began: datetime | None, refusals: Refusals) -> list[str] | None:
    """Keep the list of nodes equal to the folder; end what was left over when this SuperLink `began`, None: later.

    Gives who is let in, None where that is any node. Whose keys are, refusals know from then on.
    """
    authority = asked.authority.read_bytes() if asked.authority else None
    if began is not None and asked.own_apps and (asked.insecure or authority is not None):
        with control_client(address, authority) as client:
            end_left_over(client, began)
    if asked.nodes is None:
        return None
    with Roll(address, authority) as roll:
        roll.agree(asked.nodes)
        let_in = roll.let_in(asked.nodes)
        owners = {**roll.names(), **read_keys(asked.nodes)}
    refusals.know({fingerprint(key): name for key, name in owners.items()})
    return let_in


def _files(nodes: Path | None) -> tuple[object, ...]:
    """Give what changes where somebody changes the folder of public keys."""
    if nodes is None:
        return ("none",)
    looks = [(file.name, file.stat()) for file in sorted(nodes.glob("*.pub"))]
    return ("these", *((name, look.st_mtime_ns, look.st_size) for name, look in looks))


def _said_over(asked: Asked, refusals: Refusals) -> str:
    """Count, once, that the certificate is over, for then nodes refuse this server without its being told."""
    if asked.certificate is None:
        return ""
    over = x509.load_pem_x509_certificate(asked.certificate.read_bytes()).not_valid_after_utc
    if over > datetime.now(UTC):
        return ""
    reason = f"this server's certificate expired on {over:%Y-%m-%d}: nodes refuse it; fedlora-tui deploy renew"
    refusals.count(reason, "")
    _log.error("%s", reason)
    return reason
