"""One run: its worker thread, its round loop, its journal. Never imports Textual.

Modules that need torch are imported inside the worker, after the console's first frame.
"""

import os

# Waiting OpenMP threads sleep instead of spinning. On processors that something else uses too (the console, another
# job), spinning threads hold each other up at every operation: training here ran 8 times slower with one core shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
