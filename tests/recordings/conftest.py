"""Nothing here is a test: importing a recording's `train.py`, as collecting doctests does, would train it."""

collect_ignore_glob = ["*.py"]
