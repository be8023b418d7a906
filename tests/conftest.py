"""What all tests share: one time zone, so that clocks on screens are the same everywhere."""

import os
import time

os.environ["TZ"] = "UTC"
time.tzset()
