"""Program: Celery's command line, safe where the folder has Python of its own: `python -P -m workers.program`."""

from __future__ import annotations

import sys
from pathlib import Path

from celery.__main__ import main

if __name__ == "__main__":
    # Celery puts the working directory before all else while it imports, unless that has a place already.
    sys.path.append(str(Path.cwd()))
    main()
