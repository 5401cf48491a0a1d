"""``python -m paft``."""

from __future__ import annotations

import sys

from paft.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
