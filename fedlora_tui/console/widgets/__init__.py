"""The parts of the screens, one small file each."""
