"""Adapters and their training over one frozen base: torch, peft and transformers, and never Flower."""

import logging

# Where it is installed peft imports it, and it warns: once of a package that it could use, and at every single product
# of 8-bit matrices that it rounds their inputs.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
