"""What the scripted workers are started from: `celery -A tests.integration.scripted_worker worker`."""

from __future__ import annotations

from tests.integration import scripted

app = scripted.app
scripted.install()
