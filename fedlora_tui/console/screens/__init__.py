"""What can fill the terminal or lie over it: the overview and the dialogs."""
