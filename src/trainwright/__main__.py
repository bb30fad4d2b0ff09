"""`python -m trainwright`: the same as the command `trainwright`."""

import sys

from .cli import main

sys.exit(main())
