"""What can fill the terminal or lie over it: the overview, the comparison of runs, and the dialogs."""
