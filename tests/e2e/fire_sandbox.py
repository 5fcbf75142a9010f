"""`python fire_sandbox.py FOLDER POINT VERB`: as `python -m tasks.sandbox VERB`, with a point before and one after."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from tasks.sandbox.__main__ import main
from tests.e2e.fire import reach

if __name__ == "__main__":
    folder, wanted, verb = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    reach(folder, wanted, "in the provisioner" if verb == "create" else "")
    status = main([verb])
    reach(folder, wanted, "made" if verb == "create" else "")
    sys.exit(status)
