"""A deployed federation on loopback, of real processes: a SuperLink, SuperNodes with folders of text, their end."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PATIENCE = 180.0
"""Seconds after which what is waited for is thought never to come."""

CLAIMS: list[socket.socket] = []
"""Say which ports were given here."""


def free_port() -> int:
    """A port of loopback that nobody listens at now, and that is given to nobody else while these tests run.

    It is below those that the system gives away by itself, to whoever connects or asks for any.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(1000):
        port = random.randrange(low // 2, low)
        claim = socket.socket(socket.AF_UNIX)
        try:
            with socket.socket() as found:
                found.bind(("127.0.0.1", port))
            # A name of the system's own, gone with this process: tests in other processes see that it is taken.
            claim.bind(f"\0fedlora-tests-port-{port}")
        except OSError:
            claim.close()
            continue
        CLAIMS.append(claim)
        return port
    raise AssertionError("no port is free")


def eventually(test: Callable[[], object], what: str, seconds: float = PATIENCE) -> object:
    """Wait until something holds, and give it."""
    until = time.monotonic() + seconds
    while not (found := test()):
        assert time.monotonic() < until, f"never came: {what}"
        time.sleep(0.1)
    return found


def lives(process: psutil.Process) -> bool:
    """Tell whether a process is at work; who is dead and waits to be taken away is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Deployment:
    """The processes of a federation in a folder; `close` ends every one of them and all that they started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.home = folder / "flower"
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "config.toml").write_text(
            f'[superlink]\ndefault = "test"\n\n[superlink.test]\naddress = "{self.address}"\ninsecure = true\n'
        )
        self.environment = {
            **os.environ,
            "FLWR_HOME": str(self.home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
            "PYTHONPATH": str(ROOT),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], **more: str) -> subprocess.Popen[bytes]:
        """Start a process at the head of a group of its own; what it says goes to a file."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment | more,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
            )
        self.processes[name] = process
        return process

    def superlink(self, *more: str, ours: bool = False) -> None:
        """Start the SuperLink, Flower's or `ours` with its door, and wait until it listens."""
        program = [sys.executable, "-m", "fedlora_tui", "deploy", "superlink"] if ours else [BIN / "flower-superlink"]
        command = [*program, "--insecure", "--port", str(self.port)]
        self.start("superlink", [*map(str, command), "--disable-runtime-dependency-installation", *more])
        eventually(self._listens, "a SuperLink that listens")

    def _listens(self) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", self.port)) == 0

    def supernode(self, organization: str, data: Path, *more: str, **environment: str) -> None:
        """Start the SuperNode of an organization."""
        own = f'organization="{organization}" data="{data}"'
        command = [
            sys.executable,
            "-m",
            "fedlora_tui.federation.prompt_node",
            "--insecure",
            "--superlink",
            self.address,
        ]
        command += ["--host", "127.0.0.1", "--port", free_port(), "--node-config", own]
        self.start(organization, [*map(str, command), *more], **environment)

    def kill(self, name: str, kind: signal.Signals = signal.SIGKILL) -> None:
        """End a process and all that it started."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        process.wait(PATIENCE)

    def close(self) -> None:
        """End everything."""
        for name in list(self.processes):
            self.kill(name)

    def said(self, name: str) -> str:
        """What a process has said so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")
