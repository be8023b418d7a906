"""The setup screen of `fedlora-tui init`: a small application of its own that is handed plain data and callables."""
