"""`python -m workers.cli` is `stepmark`."""

from __future__ import annotations

import sys

from workers.cli import main

if __name__ == "__main__":
    sys.exit(main.main())
