"""The options of `fedlora-tui node`."""

from __future__ import annotations

import argparse
from typing import TypeVar

Parser = TypeVar("Parser", bound=argparse.ArgumentParser)


def with_node_options(parser: Parser) -> Parser:
    """Give the parser with the options of a node."""
    parser.add_argument("--superlink", metavar="HOST:PORT", help="the SuperLink's address for SuperNodes")
    parser.add_argument("--data", metavar="FOLDER", help="this organization's text: a folder or one file")
    parser.add_argument("--name", metavar="NAME", help="the organization's name (that of the folder of text)")
    parser.add_argument("--model", metavar="BASE", help="where the base lies here (what the run says)")
    parser.add_argument("--policy", metavar="FILE", help="what it takes part in; without one in whatever is asked")
    parser.add_argument("--folder", metavar="DIR", help="where its ledger and its log are kept (nodes/NAME)")
    parser.add_argument(
        "--root-certificates", metavar="FILE", help="the authority that signed the SuperLink's certificate"
    )
    parser.add_argument("--key", metavar="FILE", help="the private key by which the SuperLink knows this node")
    parser.add_argument("--insecure", action="store_true", help="no TLS and no key: on one machine, to try it out")
    instead = parser.add_argument_group("instead of starting a node")
    instead.add_argument(
        "--write-policy", metavar="FILE", help="write a policy to begin with, every key with a comment"
    )
    instead.add_argument(
        "--history", action="store_true", help="print the ledger of the node in --folder, or nodes/NAME"
    )
    instead.add_argument(
        "--json", action="store_true", help="with --history: its records as they are, a line of JSON each"
    )
    return parser
