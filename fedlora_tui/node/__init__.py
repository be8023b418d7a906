"""An organization's side of a deployed federation: what runs on its own machine, beside its own text."""
