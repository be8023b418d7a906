"""`fedlora-tui deploy`: init, check, add, renew, and the SuperLink that a server's start script starts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fedlora_tui.errors import UserError

PROGRAM = "fedlora-tui deploy"
DEFAULT_PORT = 8000
Command = Callable[[Sequence[str], argparse.ArgumentParser], int]


def run_deploy(words: Sequence[str], parser: type[argparse.ArgumentParser]) -> int:
    """Run `deploy WORD ...`; give the exit status. `parser` is the command line's kind of parser."""
    name = words[0] if words else ""
    if name not in COMMANDS:
        raise UserError(f"deploy {name}".rstrip() + f": after it goes {', '.join(COMMANDS)}; see {PROGRAM} --help")
    command, text = COMMANDS[name]
    return command(words[1:], parser(f"{PROGRAM} {name}", description=text))


def _init(words: Sequence[str], parser: argparse.ArgumentParser) -> int:
    from fedlora_tui.deployment.making import make, wish

    parser.add_argument("folder", metavar="DIR", help="the folder to write; nothing may stand there")
    parser.add_argument("--organizations", metavar="a,b,c or N", default="2", help="who takes part (2)")
    parser.add_argument(
        "--host",
        metavar="NAME",
        action="append",
        default=[],
        help="the server's name or address (repeatable)",
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"the SuperLink's port ({DEFAULT_PORT})")
    parser.add_argument("--insecure", action="store_true", help="no TLS and no authentication of nodes")
    asked = parser.parse_args(words)
    folder = Path(asked.folder).expanduser()
    make(folder, wish(asked.organizations, asked.host, asked.port, secure=not asked.insecure))
    if asked.insecure:
        _say("INSECURE: nothing is encrypted and any node is let in; every console of its runs says so")
    _say(f"{folder} is written; its README.md says who gets which folder and what to start")
    return 0


def _check(words: Sequence[str], parser: argparse.ArgumentParser) -> int:
    from rich.console import Console

    from fedlora_tui.deployment.checking import check
    from fedlora_tui.deployment.report import print_links

    parser.add_argument("folder", metavar="DIR", nargs="?", default=".", help="a deployment or a role folder (.)")
    parser.add_argument("--before-start", action="store_true", help="what start.sh asks; says only what is not well")
    asked = parser.parse_args(words)
    links = check(Path(asked.folder).expanduser(), asked.before_start)
    return print_links(Console(stderr=asked.before_start, soft_wrap=True, highlight=False), links, asked.before_start)


def _add(words: Sequence[str], parser: argparse.ArgumentParser) -> int:
    from fedlora_tui.deployment.layout import node_folder
    from fedlora_tui.deployment.making import add

    parser.add_argument("folder", metavar="DIR", help="the deployment's folder")
    parser.add_argument("names", metavar="NAME", nargs="+", help="the organizations that join it")
    asked = parser.parse_args(words)
    folder = Path(asked.folder).expanduser()
    add(folder, asked.names)
    for name in asked.names:
        _say(f"{folder / node_folder(name)} is for {name}; server/nodes/{name}.pub belongs into the server's nodes/")
    return 0


def _renew(words: Sequence[str], parser: argparse.ArgumentParser) -> int:
    from fedlora_tui.deployment.making import renew

    parser.add_argument("folder", metavar="DIR", help="the deployment's folder, with its authority")
    parser.add_argument(
        "--host",
        metavar="NAME",
        action="append",
        default=[],
        help="the server's name or address (as it was)",
    )
    asked = parser.parse_args(words)
    folder = Path(asked.folder).expanduser()
    about = renew(folder, asked.host)
    _say(f"{folder / about.role}: a new certificate for {', '.join(about.hosts)}; copy its files to the server")
    return 0


def _superlink(words: Sequence[str], parser: argparse.ArgumentParser) -> int:
    from fedlora_tui.federation.guarded_superlink import serve

    if "--help" in words or "-h" in words:
        parser.add_argument("--nodes", metavar="DIR", help="public keys (.pub) of the nodes that are let in")
        parser.add_argument("--refused", metavar="FILE", help="where who was refused is counted")
        parser.epilog = "all other options are those of flower-superlink --help"
        parser.parse_args(words)
    serve(words)
    return 0


def _say(text: str) -> None:
    print(f"fedlora-tui: {text}", file=sys.stderr, flush=True)


COMMANDS: dict[str, tuple[Command, str]] = {
    "init": (_init, "write a folder: certificates, keys, a start script a role"),
    "check": (_check, "test each link and say what is wrong and what to do"),
    "add": (_add, "give a deployment another organization"),
    "renew": (_renew, "give the server a new certificate, for other hosts too"),
    "superlink": (_superlink, "start Flower's SuperLink with a door in front: what server/start.sh does"),
}

DESCRIBED: dict[str, Any] = {
    "description": "A federation whose organizations are on machines of their own, over Flower's SuperLink.",
    "epilog": "commands:\n" + "\n".join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()),
    "formatter_class": argparse.RawDescriptionHelpFormatter,
}
