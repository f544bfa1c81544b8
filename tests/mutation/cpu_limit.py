"""A plugin of pytest that ends the process if a test takes too much time of the processor.

Not of the clock: where the machine is busy, a slow test would look like one that does not end.
"""

import os
import signal
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    Path(os.environ["MUTATION_TEST"]).write_text(item.nodeid, encoding="utf-8")
    # SIGPROF ends the process. The time is that of all threads together.
    signal.setitimer(signal.ITIMER_PROF, float(os.environ["MUTATION_SECONDS"]))
