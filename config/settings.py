"""Settings: every knob of the program, from STEPMARK_* variables, read once a process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """All knobs. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="STEPMARK_", extra="ignore", frozen=True)

    redis_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Redis: broker, tracker and store.")
    key_prefix: str = Field("stepmark", pattern=r"^[a-z0-9:_-]+$", description="Begins every key of ours in Redis.")
    encryption_key_file: Path = Field(
        Path("~/.config/stepmark/encryption.key"),
        description="Encrypts workspaces and OpenTofu state. One key a line; the first encrypts, all decrypt.",
    )
    data_dir: Path = Field(Path("~/.cache/stepmark"), description="A worker's own files: only a cache.")
    fleet_file: Path | None = Field(None, description="The fleet whose schedules beat fires.")
    tofu_binary: str | None = Field(None, description="OpenTofu's binary; unset: `tofu` where present, else `terraform`.")
    plugin_mirror: Path | None = Field(None, description="A filesystem mirror of OpenTofu providers, for use offline.")
    lease_seconds: float = Field(12.0, gt=0, description="A worker not heard of for this long is suspected dead.")
    grace_seconds: float = Field(5.0, gt=0, description="Between interrupt, terminate and kill of a program.")
    retention_days: float = Field(90.0, gt=0, description="How long runs, logs and traces are kept.")

    @property
    def renew_seconds(self) -> float:
        """How often a worker renews its leases: three chances before one lapses."""
        return self.lease_seconds / 3

    @property
    def takeover_seconds(self) -> float:
        """After a lease lapsed, when its guard must have ended the tool: two graces and a margin for slow clocks."""
        return 2 * self.grace_seconds + self.lease_seconds / 3


@lru_cache(maxsize=1)
def load() -> Settings:
    """The settings of this process.

    Raises:
        pydantic.ValidationError: a variable cannot be read.
    """
    return Settings()
