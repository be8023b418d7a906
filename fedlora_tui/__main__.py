"""`python -m fedlora_tui` is `fedlora-tui`."""

from fedlora_tui.cli import main

raise SystemExit(main())
