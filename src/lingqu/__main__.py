"""`python -m lingqu` is `lingqu`."""

import sys

from lingqu.cli import main

sys.exit(main())
