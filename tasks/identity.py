"""StepIdentity: which step of which run a message is. It travels in one header and holds no fact and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

HEADER = "stepmark"
SCHEMA: Literal[1] = 1


class StepIdentity(BaseModel):
    """A message's place.

    token: drawn at random with the run. epoch: the run's fencing number. index: the step's place, from 1.
    delivery: number of the send that this message belongs to.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = SCHEMA
    run: str
    token: str
    epoch: int
    environment: str
    workflow: str
    step: str
    index: int
    total: int
    delivery: int

    @property
    def label(self) -> str:
        """What Flower shows: `web-1 provision 5/9 opentofu-apply`."""
        return f"{self.environment} {self.workflow} {self.index}/{self.total} {self.step}"

    @property
    def task_id(self) -> str:
        """Celery's id of this message; no two sends of a step share it."""
        return f"{self.run}.{self.epoch}.{self.delivery}.{self.index}"

    def headers(self) -> dict[str, dict[str, Any]]:
        """The headers to send it with."""
        return {HEADER: self.model_dump()}

    @classmethod
    def read(cls, headers: Mapping[str, Any] | None) -> StepIdentity | None:
        """The identity in a message's headers, or None if the message is none of ours, or of another version.

        Raises:
            pydantic.ValidationError: the header is there, in our schema, but is not understood.
        """
        content = (headers or {}).get(HEADER)
        return None if content is None or other_schema(headers) else cls.model_validate(content)


def other_schema(headers: Mapping[str, Any] | None) -> str:
    """The schema of a message of ours, if it is not the one that this version knows; else empty."""
    content = (headers or {}).get(HEADER)
    schema = content.get("schema_version", SCHEMA) if isinstance(content, Mapping) else SCHEMA
    return "" if schema == SCHEMA else str(schema)
