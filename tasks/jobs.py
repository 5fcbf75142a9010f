"""Jobs: what a schedule can name beside workflows; they concern no environment, and are no runs."""

from __future__ import annotations

from collections.abc import Mapping

JOBS: Mapping[str, str] = {"retention": "stepmark.retention"}
"""By the name in the fleet file, the Celery task that does it."""
