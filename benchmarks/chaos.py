"""The chaos driver, from a checkout: `python benchmarks/chaos.py --seed 7 --seconds 600 --runs 2000`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults import chaos

if __name__ == "__main__":
    sys.exit(chaos.main())
