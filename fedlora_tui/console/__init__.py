"""The console: a Textual face on a run, which it knows through `fedlora_tui.protocol` alone."""
