"""What a Flower run carries to every machine: two references to the fedlora-tui that is installed there."""
