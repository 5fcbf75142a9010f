"""The root file system below every light host: Debian's own packages, built once and cached by what it is made of."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import building, proxy, store
from tasks.sandbox.model import Say

PACKAGES = (
    *("openssh-server", "python3", "python3-apt", "ca-certificates", "iproute2", "procps", "sudo"),
    *("cloud-init", "nftables", "iptables"),
)
_LAYOUT = 1
_BUILD_SECONDS = 900.0
CLOUD = "datasource_list: [ NoCloud ]\nnetwork: {config: disabled}\nlocale: false\n"
_FILES = {
    "etc/apt/apt.conf.d/95sandbox": f'Acquire::http::Proxy "http://127.0.0.1:{proxy.PORT}";\n'
    f'Acquire::https::Proxy "http://127.0.0.1:{proxy.PORT}";\n',
    "etc/cloud/cloud.cfg.d/95_sandbox.cfg": CLOUD,
    "etc/machine-id": "",
    "etc/resolv.conf": "",
    # Nothing starts services in a host without an init system, so packages must not try.
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
}
_KEEP_SMALL = ("man", "doc", "locale", "info")


def ensure(roots: Path, say: Say) -> Path:
    """The root's directory, built unless it is cached; whoever comes while it is built waits.

    Raises:
        SandboxError: it cannot be built.
        ToolMissingError: mmdebstrap is not on this machine.
    """
    sources = debian_sources(Path("/etc/apt"))
    suite = _release()["VERSION_CODENAME"]
    root = roots / f"light-{_digest(suite, sources)}"
    building.sweep(roots, say)
    with store.lock(roots / "light.lock"):
        if not root.is_dir():
            _build(root, sources, say)
    return root


def debian_sources(apt: Path) -> str:
    """The machine's package sources for its own release, as one-line entries; other vendors' are left out.

    Raises:
        SandboxError: there are none.
    """
    suite = _release()["VERSION_CODENAME"]
    lines = [line for path in sorted(apt.glob("sources.list*/*.sources")) for line in _one_line(path.read_text())]
    for path in (apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))):
        lines += path.read_text().splitlines() if path.is_file() else []
    ours = re.compile(rf"^deb\s+(\[[^]]*\]\s+)?\S+\s+{re.escape(suite)}(-updates|-security|/updates)?\s+\S")
    chosen = [line.strip() for line in lines if ours.match(line)]
    if not chosen:
        raise errors.SandboxError(f"no package source for {suite} under {apt}: a root for light hosts needs one")
    return "\n".join(chosen) + "\n"


def _one_line(text: str) -> list[str]:
    """Stanzas of `Types: deb`, `URIs: …`, `Suites: …` as `deb [options] URI suite components`."""
    return [line for stanza in re.split(r"\n\s*\n", text) for line in _entries(_fields(stanza))]


def _fields(stanza: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in stanza.splitlines() if not line.startswith(("#", " ")))
    return {key.lower(): value.strip() for key, _colon, value in pairs}


def _entries(fields: Mapping[str, str]) -> list[str]:
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
        return []
    names = {"signed-by": "signed-by", "architectures": "arch", "trusted": "trusted"}
    given = [f"{names[key]}={value.replace(' ', ',')}" for key, value in fields.items() if key in names]
    options = f"[{' '.join(given)}] " if given else ""
    suites, uris = fields.get("suites", "").split(), fields.get("uris", "").split()
    return [f"deb {options}{uri} {suite} {fields.get('components', '')}" for uri in uris for suite in suites]


def _build(root: Path, sources: str, say: Say) -> None:
    if shutil.which("mmdebstrap", path=daemon.PATH) is None:
        raise errors.ToolMissingError("light hosts need mmdebstrap: apt-get install mmdebstrap")
    say(f"building the root file system of light hosts in {root} (about a minute, once)")
    began = time.monotonic()
    with building.folder(root.parent) as folder:
        partial, listed = folder / "root", folder / "machine.list"
        listed.write_text(sources)
        building.run(command(PACKAGES, partial, listed), folder, timeout_seconds=_BUILD_SECONDS)
        _finish(partial)
        partial.rename(root)
    say(f"built in {time.monotonic() - began:.0f} s")


def command(packages: Sequence[str], target: Path, listed: Path, *more: str) -> tuple[str, ...]:
    """What builds a root of `packages`: as a directory, or as a tar if `target` is named so. listed: its sources."""
    options = {
        **{f"Acquire::{name}": value for name, value in _acquire().items()},
        "Acquire::Languages": "none",
        "Acquire::GzipIndexes": "true",
        "APT::Install-Recommends": "false",
    }
    return (
        *("mmdebstrap", "--variant=minbase", "--skip=cleanup/apt/lists", *more),
        *(f'--aptopt={name} "{value}"' for name, value in options.items()),
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _KEEP_SMALL),
        *(f"--include={','.join(packages)}", _release()["VERSION_CODENAME"], str(target), str(listed)),
    )


def _acquire() -> dict[str, str]:
    """How the machine's own apt fetches, where it must be told: through which proxy, and how old a list may be."""
    lines = daemon.call(("apt-config", "dump"), timeout_seconds=30).splitlines()
    wanted = re.compile(r'^Acquire::(http::Proxy|https::Proxy|Check-Valid-Until|Check-Date) "([^"]+)";$')
    return {found[1]: found[2] for line in lines if (found := wanted.match(line))}


def _finish(root: Path) -> None:
    for name, content in _FILES.items():
        path = root / name
        path.unlink(missing_ok=True)
        path.write_text(content)
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for directory in (".machine", "var/lib/cloud/seed/nocloud"):
        (root / directory).mkdir(parents=True)


def _digest(suite: str, sources: str) -> str:
    recipe = json.dumps([_LAYOUT, suite, sources, PACKAGES, _FILES, _KEEP_SMALL])
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _release() -> dict[str, str]:
    """/etc/os-release; `VERSION_CODENAME=bookworm` among it."""
    pairs = (line.partition("=") for line in Path("/etc/os-release").read_text().splitlines())
    return {"VERSION_CODENAME": "", **{key: value.strip('"') for key, _equals, value in pairs}}
