"""The start script of each role: POSIX sh, to be read by whoever starts it, refusing where something is missing."""

from __future__ import annotations

from fedlora_tui.deployment.layout import (
    CA,
    CERTIFICATE,
    CERTIFICATE_KEY,
    CONFIG,
    DATA,
    DATABASE,
    JOURNAL,
    LOG,
    NODE,
    NODE_KEY,
    NODES,
    OPERATOR,
    POLICY,
    REFUSED,
    SERVER,
    About,
)

BEGINNING = """#!/bin/sh
# {purpose}
# It stays in the foreground: {end}.
set -eu
umask 077
cd "$(dirname "$0")"

TUI=${{FEDLORA_TUI:-fedlora-tui}}
if ! command -v "$TUI" >/dev/null; then
    echo "start.sh: no $TUI here; install fedlora-tui, or name it: FEDLORA_TUI=/path/to/fedlora-tui ./start.sh" >&2
    exit 2
fi
for file in {needed}; do
    if [ ! -e "$file" ]; then
        echo "start.sh: $file is missing; copy this folder anew from where it was made" >&2
        exit 2
    fi
done
"""

ENDS = {
    SERVER: "ctrl+c ends it, and a run that goes on with it; start it again, then: fedlora-tui resume in operator/",
    NODE: "ctrl+c ends it, and starting it again goes on from there",
    OPERATOR: "ctrl+c stops the run, unless an attached console steers it; fedlora-tui resume goes on with it",
}
CHECKED = '"$TUI" deploy check --before-start .\n'
UNPROTECTED = (
    "# No TLS, and nobody is asked who they are: this folder was made with --insecure.\n"
    'echo "start.sh: INSECURE: nothing is encrypted, and any node is let in" >&2\n'
)


def start_script(about: About) -> str:
    """Write a role's start script."""
    if about.role == SERVER:
        return _server(about)
    return _node(about) if about.role == NODE else _operator(about)


def _server(about: About) -> str:
    purpose = "The SuperLink: nodes connect to it, and the rounds go on here, in runs/."
    needed = ["deployment.toml", *([CA, CERTIFICATE, CERTIFICATE_KEY, NODES] if about.secure else [])]
    protection = [
        f"--ssl-certfile {CERTIFICATE} --ssl-keyfile {CERTIFICATE_KEY} --ssl-ca-certfile {CA}",
        f"--enable-supernode-auth --nodes {NODES}",
    ]
    options = [
        f"--host {about.listen} --port {about.port}",
        *(protection if about.secure else ["--insecure"]),
        f"--refused {REFUSED}",
        f"--database {DATABASE} --log-file {LOG}",
        "--disable-runtime-dependency-installation",
    ]
    return _script(about, purpose, needed, "deploy superlink", options)


def _node(about: About) -> str:
    purpose = f"The node of {about.organization}: it trains on {DATA}/, and nothing but adapters and numbers leave it."
    needed = ["deployment.toml", DATA, POLICY, *([CA, NODE_KEY] if about.secure else [])]
    options = [
        f"--superlink {about.superlink}",
        f"--root-certificates {CA} --key {NODE_KEY}" if about.secure else "--insecure",
        f"--name {about.organization} --data {DATA} --policy {POLICY} --folder {JOURNAL}",
        '"$@"',
    ]
    return _script(about, purpose, needed, "node", options)


def _operator(about: About) -> str:
    purpose = "Begins a run on the SuperLink as config.toml says, and follows it; takes options of fedlora-tui run."
    needed = ["deployment.toml", CONFIG, *([CA] if about.secure else [])]
    return _script(about, purpose, needed, "run", [f"--config {CONFIG}", '"$@"'])


def _script(about: About, purpose: str, needed: list[str], command: str, options: list[str]) -> str:
    lines = " \\\n    ".join([f'exec "$TUI" {command}', *options])
    warned = "" if about.secure else "\n" + UNPROTECTED
    end = ENDS[about.role]
    return f"{BEGINNING.format(purpose=purpose, end=end, needed=' '.join(needed))}{CHECKED}{warned}\n{lines}\n"
