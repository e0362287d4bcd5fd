"""`python -m sampan`: how sampan starts its own processes."""

import sys

from sampan.cli import main

sys.exit(main())
