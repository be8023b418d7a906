"""`fedlora-tui`, and `python -m fedlora_tui`: an interrupt while it is being loaded ends it without a traceback."""

import signal


def main() -> int:
    """Be the program; give the exit status."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from fedlora_tui.cli import main as command_line

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return command_line()


if __name__ == "__main__":
    raise SystemExit(main())
