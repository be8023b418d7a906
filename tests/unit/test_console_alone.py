"""The console alone: it loads no training library, and what libraries print does not reach the terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "flwr", "transformers", "peft", "ray", "safetensors", "numpy")


def test_importing_the_console_loads_no_training_library() -> None:
    code = (
        "import pkgutil, importlib, sys, fedlora_tui.console as package\n"
        "for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(found.name)\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))\n"
        "ours = {name.split('.')[1] for name in sys.modules if name.startswith('fedlora_tui.')}\n"
        "print(sorted(ours - {'console', 'protocol', 'errors'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_what_libraries_print_goes_to_the_log_and_the_terminal_comes_back(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "engine.log"
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from fedlora_tui.console.terminal import has_terminal, kept_terminal\n"
        "assert has_terminal()\n"
        f"with kept_terminal(Path({str(log)!r})):\n"
        "    os.write(1, b'native one\\n'); os.write(2, b'native two\\n'); print('printed')\n"
        "    sys.__stderr__.write('drawn\\n'); sys.__stderr__.flush()\n"
        "    assert os.get_terminal_size(sys.__stdout__.fileno()).columns == 91\n"
        "print('back on one'); print('back on two', file=sys.stderr)\n"
    )
    controller, terminal = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 91, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal, env=environment
    )
    assert process.wait(timeout=120) == 0
    os.close(terminal)
    shown = os.read(controller, 10_000).decode()
    os.close(controller)
    assert shown.split("\r\n")[:-1] == ["drawn", "back on one", "back on two"]
    assert log.read_text().split("\n")[:-1] == ["native one", "native two", "printed"]
