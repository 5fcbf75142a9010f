"""What a command that needs Redis begins with."""

from __future__ import annotations

from config import settings as settings_module
from config.fleet import EnvironmentSpec
from workers import runtime
from workers.records import EnvironmentRecord, RunRecord
from workers.refusals import NotFoundError
from workers.runtime import Base


def base() -> Base:
    """The runtime of this command.

    Raises:
        redis.RedisError: Redis does not answer.
        pydantic.ValidationError: the settings cannot be used.
    """
    found = runtime.base(settings_module.load())
    found.client.ping()
    return found


def last_run(base: Base, environment: EnvironmentRecord) -> RunRecord:
    """The run that an environment is in, or was in last.

    Raises:
        NotFoundError: it is past its retention.
    """
    if environment.last_run is None:
        raise NotFoundError(f"run of environment {environment.name!r}")
    return base.store.run(environment.last_run)


def spec(environment: EnvironmentRecord) -> EnvironmentSpec:
    """What was declared of it when it was last launched."""
    return EnvironmentSpec.model_validate_json(environment.spec)
