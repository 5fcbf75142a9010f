"""Settings: every knob of the program, from STEPMARK_* variables, read once a process."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from config.secrets import SecretRef

_SECONDS_A_DAY = 86_400
_PREFIX = "STEPMARK_"
_ADDRESS = re.compile(r"([\w.-]+|\[[\da-fA-F:.]+\])(:\d{1,5})?")


class Settings(BaseModel):
    """All knobs, from the environment where they are not given. Times are in seconds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    redis_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Redis: broker, tracker and store.")
    redis_password_file: Path | None = Field(
        None, description="The password to put into redis_url, if it is kept in a file of its own."
    )
    redis_ca_file: Path | None = Field(
        None, description="Who may vouch for Redis's certificate (rediss://); unset: whom the system trusts."
    )
    redis_cert_file: Path | None = Field(None, description="Our own certificate, if Redis asks for one.")
    redis_key_file: Path | None = Field(None, description="The private key of redis_cert_file, if not in that file.")
    redis_verify: Literal["full", "chain", "none"] = Field(
        "full", description="What must be right of Redis's certificate: chain and host name, the chain only, nothing."
    )
    redis_sentinels: str | None = Field(
        None, description="HOST:PORT,…: Sentinels that know where Redis is. The URL's host is the master's name there."
    )
    redis_sentinel_password_file: Path | None = Field(
        None, description="The password that the Sentinels themselves ask for, if they do."
    )
    key_prefix: str = Field(
        "stepmark", pattern=r"^[a-z0-9:_-]+$", description="Begins every key in Redis, the broker's too."
    )
    encryption_key_file: Path = Field(
        Path("~/.config/stepmark/encryption.key"),
        description="Encrypts workspaces and OpenTofu state. One key a line; the first encrypts, all decrypt.",
    )
    data_dir: Path = Field(Path("~/.cache/stepmark"), description="A worker's own files: only a cache.")
    fleet_file: Path | None = Field(None, description="The fleet file of commands that are given none.")
    tofu_binary: str | None = Field(
        None, description="OpenTofu's binary; unset: `tofu` where present, else `terraform`."
    )
    plugin_mirror: Path | None = Field(None, description="A filesystem mirror of OpenTofu providers, for use offline.")
    lease_seconds: float = Field(12.0, gt=0, description="A worker not heard of for this long is suspected dead.")
    grace_seconds: float = Field(5.0, gt=0, description="A program that must end is killed after two of these.")
    beat_lock_seconds: float = Field(
        15.0, gt=0, description="A beat not heard of for this long is replaced by one that stands by."
    )
    wait_threads: int = Field(
        1000, ge=1, description="How many steps of the queue `wait` one process runs at once: each is a thread."
    )
    tool_slots: int | None = Field(
        None, ge=1, description="How many steps of the queue `tools` one process runs at once; unset: by the machine."
    )
    takeovers: int = Field(3, ge=0, description="How often a step goes on by itself after its worker was lost.")
    shutdown: Literal["finish", "hand-over"] = Field(
        "finish",
        description="What a worker that is told to stop does with running steps; told again, it hands them over.",
    )
    retention_days: float = Field(90.0, gt=0, description="How long runs, logs and traces are kept.")
    pulse_file: Path | None = Field(
        None, description="Touched by a worker or beat every few seconds while it does its work; for health checks."
    )

    # By hand: to import pydantic-settings takes as long as to look at a fleet.
    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        variables = {name.upper(): value for name, value in os.environ.items()}
        names = {name: f"{_PREFIX}{name.upper()}" for name in cls.model_fields}
        return {name: variables[known] for name, known in names.items() if known in variables} | given

    @field_validator("redis_url")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        try:
            url = urlsplit(value.get_secret_value())
            good = url.scheme in ("redis", "rediss") and bool(url.hostname) and (url.port or 1) > 0
        except ValueError:  # the port is no number, or too large
            good = False
        if not good or not (url.path.strip("/") or "0").isdigit():
            raise ValueError("is no Redis URL: write it as redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]")
        return value

    @field_validator("redis_ca_file", "redis_cert_file", "redis_key_file")
    @classmethod
    def _for_tls(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value and not _given(info, "redis_url").startswith("rediss:"):
            raise ValueError("is of use with TLS only: begin the Redis URL with rediss://")
        return value

    @field_validator("redis_sentinels")
    @classmethod
    def _addresses(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if not all(_ADDRESS.fullmatch(part) for part in value.split(",")):
            raise ValueError("is no list of addresses: write it as HOST[:PORT],HOST[:PORT]")
        if urlsplit(_given(info, "redis_url")).port:
            raise ValueError("with Sentinels, the host in the Redis URL is the master's name, and has no port")
        return value

    @property
    def broker_prefix(self) -> str:
        """Begins every key and every channel of the broker's: queues, bindings, events, orders to workers."""
        return f"{self.key_prefix}:broker:"

    @property
    def retention_seconds(self) -> int:
        """How long runs, logs and traces are kept."""
        return int(self.retention_days * _SECONDS_A_DAY)

    @property
    def beat_look_seconds(self) -> float:
        """How often beat looks at the schedules, at least, and renews its lock."""
        return self.beat_lock_seconds / 3

    @property
    def renew_seconds(self) -> float:
        """How often a worker renews its leases, and hears whether one of its runs is to be cancelled."""
        return self.lease_seconds / 12

    @property
    def takeover_seconds(self) -> float:
        """After a lease lapsed, when its guard must have ended the tool: two graces and a margin for slow clocks."""
        return 2 * self.grace_seconds + self.lease_seconds / 3

    @property
    def quiet_seconds(self) -> float:
        """After Redis came back, when no tool can be left of a step that it has forgotten."""
        return self.lease_seconds + self.takeover_seconds


def _given(info: ValidationInfo, name: str) -> str:
    """A secret that was read before; empty if it could not be used, which is said of that one."""
    found = info.data.get(name)
    return found.get_secret_value() if isinstance(found, SecretStr) else ""


@lru_cache(maxsize=1)
def load() -> Settings:
    """The settings of this process, the Redis password put into its URL.

    Raises:
        pydantic.ValidationError: a variable cannot be read.
        config.errors.SecretError: the password's file cannot be read.
    """
    return complete(Settings())


def complete(settings: Settings) -> Settings:
    """The settings with the Redis password put into its URL, if it is in a file of its own.

    Raises:
        config.errors.SecretError: the password's file cannot be read.
    """
    if settings.redis_password_file is None:
        return settings
    password = SecretRef(reference=f"file:{settings.redis_password_file.expanduser()}").resolve()
    url = urlsplit(settings.redis_url.get_secret_value())
    user, _, host = url.netloc.rpartition("@")
    login = f"{user.partition(':')[0]}:{quote(password, safe='')}"
    whole = url._replace(netloc=f"{login}@{host}").geturl()
    return settings.model_copy(update={"redis_url": SecretStr(whole)})
