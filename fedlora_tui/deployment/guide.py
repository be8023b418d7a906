"""The README of a deployment's folder: what stands in it, who gets what, what to do first."""

from __future__ import annotations

from fedlora_tui.deployment.layout import About, joined, node_folder

SECURE = """\
# A federation of {count}

Made by `fedlora-tui deploy init` (fedlora-tui {fedlora_tui}, Flower {flwr}). The SuperLink is at `{superlink}`; all
that travels is encrypted, and only nodes whose key is in `server/nodes/` are let in.

| folder | belongs on | secrets in it |
| --- | --- | --- |
| `authority/` | no server: keep it offline; it signs new certificates | `ca.key` |
| `server/` | the machine that nodes reach as `{host}` | `server.key` |
{nodes}
| `operator/` | the server's machine; elsewhere with `ssh -L {local} {host}` | none |

1. Install fedlora-tui {fedlora_tui} on each machine.
2. Copy `server/` and `operator/` to the server's machine, beside each other, open port {port} there, and:
   `cd server && ./start.sh`
3. Copy each `node-.../` to its organization's machine over a way that only they read (scp, a USB stick) and remove it
   here; there, put text into its `data/`, and: `./start.sh`
4. On the server's machine: `cd operator && ./start.sh`, which begins a run; in `server/`, `fedlora-tui attach` watches
   it, and `fedlora-tui export` writes its adapter. After a restart of the server: `fedlora-tui resume` in `operator/`.

`fedlora-tui deploy check` in any of these folders, or here, tests each link and says what is wrong and what to do.

- Another organization: `fedlora-tui deploy add . NAME`, then copy `server/nodes/NAME.pub` to the server's
  `server/nodes/`. It is let in within seconds.
- Take one out for good: remove its file from the server's `server/nodes/`. Its key is never let in again; should the
  organization come back, it gets a new one.
- The server's certificate ends after 13 months, the authority's after 5 years. `fedlora-tui deploy renew .` makes a new
  one; copy `server/server.pem` and `server/server.key` to the server and start it again.
"""

INSECURE = """\
# A federation of {count}, INSECURE

Made by `fedlora-tui deploy init --insecure` (fedlora-tui {fedlora_tui}, Flower {flwr}). **Nothing that travels is
encrypted, and whoever reaches `{superlink}` takes part.** For one machine, or a network that you trust wholly.

| folder | belongs on |
| --- | --- |
| `server/` | the machine that nodes reach as `{host}` |
{nodes}
| `operator/` | the server's machine |

Start `./start.sh` in `server/`, in each `node-.../` once text is in its `data/`, and then in `operator/`.
`fedlora-tui deploy check` here tests each link.
"""


def guide(about: About, organizations: tuple[str, ...]) -> str:
    """Write the README of the folder of a server and these organizations."""
    secret = " `node.key` |" if about.secure else ""
    nodes = "\n".join(f"| `{node_folder(name)}/` | a machine of {name} |{secret}" for name in organizations)
    count = f"{len(organizations)} organization{'s' * (len(organizations) != 1)}"
    text = SECURE if about.secure else INSECURE
    local = f"{about.port}:{joined(about.own_address, about.port)}"
    return text.format(count=count, local=local, nodes=nodes, host=about.host, port=about.port, **vars(about))
