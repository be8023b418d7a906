"""Adapters and their training over one frozen base: torch, peft and transformers, and never Flower."""

import logging
import os

# Bars of libraries would draw over the screen; tqdm reads this when it is first imported, and never again.
os.environ.setdefault("TQDM_DISABLE", "1")
# Where it is installed peft imports it, and it warns: once of a package that it could use, and at every single product
# of 8-bit matrices that it rounds their inputs.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
