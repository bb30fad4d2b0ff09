"""`python -m trainwright`: the same as the command `trainwright`."""

import os
import sys

if not sys.flags.safe_path:
    # Not the working directory: what lies there may have the name of a module that we import.
    sys.path[0] = os.path.dirname(sys.executable)

from .cli import main

sys.exit(main())
