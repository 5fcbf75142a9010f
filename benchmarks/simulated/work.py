"""How long each simulated step takes, and which ones fail: the same for the same seed, environment and step."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Protocol

from tasks.errors import Kind

# Seconds: the shortest and the longest. Tools take about a tenth of what they take for real, waits a twentieth.
SECONDS = {
    "render-opentofu-templates": (0.01, 0.03),
    "opentofu-init": (0.04, 0.10),
    "opentofu-validate": (0.02, 0.04),
    "opentofu-plan": (0.03, 0.10),
    "opentofu-apply": (0.3, 0.9),
    "get-instance-info": (0.01, 0.03),
    "render-ansible-templates": (0.01, 0.03),
    "wait-ssh-connectivity": (1.5, 6.0),
    "cloud-init-wait": (1.0, 4.0),
    "install-docker": (0.5, 1.5),
    "install-docker-compose": (0.1, 0.4),
    "configure-security-updates": (0.1, 0.4),
    "configure-firewall": (0.1, 0.4),
}
WAITS = ("wait-ssh-connectivity", "cloud-init-wait")


@dataclass(frozen=True)
class Fault:
    """A share of the environments, in thousandths, whose step fails so; `attempts`: only so many first ones."""

    step: str
    kind: Kind
    thousandths: int
    attempts: int


# What passes is tried again by the workflows' own policies; what does not ends the run.
FAULTS = (
    Fault("wait-ssh-connectivity", Kind.NETWORK_CONNECTIVITY, 30, 1),
    Fault("opentofu-apply", Kind.QUOTA, 10, 1),
    Fault("install-docker", Kind.COMMAND_EXECUTION, 10, 99),
)


class Environment(Protocol):
    """What is simulated goes by its name, and by the label `seed`."""

    name: str
    labels: dict[str, str]


def draw(seed: str, name: str, what: str) -> float:
    """A number from 0 to 1, the same for the same words."""
    return zlib.crc32(f"{seed} {name} {what}".encode()) / 2**32


def seconds(seed: str, name: str, step: str) -> float:
    """How long the step takes there."""
    least, most = SECONDS[step]
    return least + (most - least) * draw(seed, name, step)


def fault(seed: str, name: str, step: str, attempt: int) -> Fault | None:
    """Why that attempt fails, if it does."""
    for each in FAULTS:
        hit = draw(seed, name, f"{each.step} fails") * 1000 < each.thousandths
        if each.step == step and hit and attempt <= each.attempts:
            return each
    return None
