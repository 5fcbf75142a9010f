"""Facts: what a run has learned of its host. Kept in Redis field by field; an address once learned is never lost."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from config.fleet import EnvironmentSpec


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PlanSummary(_Value):
    """How many resources the saved plan adds, changes and destroys."""

    add: int
    change: int
    destroy: int


class CloudInit(_Value):
    """What cloud-init says of itself: its status word, and its errors, empty when it had none."""

    status: str
    errors: tuple[str, ...] = ()


class Facts(_Value):
    """What is known of a host. None: not learned yet. Fields that a newer version wrote are ignored.

    address: where SSH finds it, an IP address or a host name. ssh_port: None means the declared one.
    host_key: its public key as `ssh-ed25519 AAAA…`; host_key_source: `given` (ours) or `first-use`.
    host_name: the name that its host was made under; scope_name: under which commands on it are noted there; None: the
    environment's.
    ssh_attempts: how often a login was tried, by outcome. templates_digest: of what `tofu_digest` was rendered from,
    without the values.
    """

    address: str | None = None
    ssh_port: int | None = None
    host_name: str | None = None
    scope_name: str | None = None
    instance_name: str | None = None
    instance_image: str | None = None
    instance_status: str | None = None
    host_key: str | None = None
    host_key_source: str | None = None
    tofu_digest: str | None = None
    templates_digest: str | None = None
    ansible_digest: str | None = None
    provider_lock: str | None = None
    plan: PlanSummary | None = None
    state_serial: int | None = None
    ssh_attempts: dict[str, int] | None = None
    cloud_init: CloudInit | None = None


def as_made(environment: EnvironmentSpec, facts: Facts) -> EnvironmentSpec:
    """The environment under the name that its host was made under: under another one the host would be another host."""
    return environment.model_copy(update={"name": facts.host_name}) if facts.host_name else environment
