"""What holds for every test: seeded, offline, one thread."""

import os
import sys

import pytest
from hypothesis import settings

# Before anything imports torch; the scripts that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

settings.register_profile("here", deadline=None, max_examples=30, derandomize=True, database=None)
settings.load_profile("here")


@pytest.fixture(autouse=True)
def one_thread():
    """Threads change the last bits of a sum, and two cores are shared by all tests."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
