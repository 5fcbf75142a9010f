"""The playbooks on real hosts: what they leave there, and that a second run changes nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import errors
from tasks.adapters import ansible as adapter
from tasks.result import Ending
from tasks.sandbox.model import HostKind
from tasks.steps import ansible
from tests.e2e.hosts import Host, running
from tests.support import poll

MISSING = [tool for tool in ("ssh", "mmdebstrap", "unshare", "nsenter") if shutil.which(tool) is None]
LIGHT = pytest.mark.skipif(
    os.geteuid() != 0 or bool(MISSING), reason=f"needs root, and {', '.join(MISSING) or 'tools'}"
)
FULL = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/run/docker.sock").exists(), reason="needs root and a running Docker"
)
PLUGIN = """#!/bin/sh
case "$1" in
docker-cli-plugin-metadata) echo '{"SchemaVersion": "0.1.0", "Vendor": "tests", "Version": "v9.9.9"}' ;;
*) echo 'Docker Compose version v9.9.9' ;;
esac
"""
# On going up it closes the door to all but root, as a firewall would that lets our own login no longer pass.
CLOSES_THE_DOOR = """#!/bin/sh
case "$1" in start) touch /etc/nologin ;; stop) rm -f /etc/nologin ;; esac
"""


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Its login is not root."""
    with running(tmp_path_factory.mktemp("light"), HostKind.LIGHT, "admin") as host:
        yield host


@LIGHT
@pytest.mark.thorough  # test_full.py does so too
def test_security_updates(light: Host) -> None:
    endings = [light.perform(ansible.security_updates) for _ in range(2)]

    assert endings == [Ending.DONE, Ending.UNCHANGED]
    allowed = light.shell("unattended-upgrade --dry-run -v 2>&1 | grep 'Allowed origins'")
    assert allowed == (
        "Allowed origins are: origin=Debian,codename=bookworm,label=Debian-Security, "
        "origin=Debian,codename=bookworm-security,label=Debian-Security\n"
    )
    never = {"security_updates": {"reboot_time": None}}
    assert [light.perform(ansible.security_updates, **never) for _ in range(2)] == [Ending.DONE, Ending.UNCHANGED]
    assert light.shell("apt-config dump | grep Automatic-Reboot") == 'Unattended-Upgrade::Automatic-Reboot "false";\n'


def rules(host: Host) -> set[str]:
    return set(host.shell("ufw show added | grep ^ufw").splitlines())


@LIGHT
def test_firewall(light: Host) -> None:
    allowed = {"firewall": {"allow": ["80/tcp", "53/udp"]}}
    endings = [light.perform(ansible.firewall, **allowed) for _ in range(2)]
    ours = {f"ufw allow {port} comment 'stepmark'" for port in ("22/tcp", "2222/tcp", "80/tcp", "53/udp")}

    assert endings == [Ending.DONE, Ending.UNCHANGED]
    assert light.shell("ufw status verbose | head -3").splitlines()[::2] == [
        "Status: active",
        "Default: deny (incoming), allow (outgoing), deny (routed)",
    ]
    assert rules(light) == ours


@LIGHT
def test_firewall_takes_back_its_own_rules_only(light: Host) -> None:
    light.perform(ansible.firewall, firewall={"allow": ["8080/tcp"]})
    light.shell("ufw limit 443/tcp; ufw allow 9000/tcp comment 'mine'")
    allowed = {"firewall": {"allow": ["443/tcp"]}}

    assert [light.perform(ansible.firewall, **allowed) for _ in range(2)] == [Ending.DONE, Ending.UNCHANGED]
    assert rules(light) == {
        "ufw allow 22/tcp comment 'stepmark'",
        "ufw allow 2222/tcp comment 'stepmark'",
        "ufw limit 443/tcp",
        "ufw allow 9000/tcp comment 'mine'",
    }


@LIGHT
def test_a_firewall_that_locks_us_out_opens_by_itself(light: Host) -> None:
    light.perform(ansible.firewall)
    light.shell("ufw disable; cat > /etc/ufw/after.init <<'E'\n" + CLOSES_THE_DOOR + "E\nchmod 755 /etc/ufw/after.init")
    ansible.render(light.facts, light.context())
    variables = light.folder / "ansible" / "vars.json"
    variables.write_text(variables.read_text().rstrip().removesuffix("}") + ', "confirm_seconds": 40}')
    play = adapter.Play("configure-firewall.yml", light.folder / "ansible", light.target())

    with pytest.raises(errors.StepmarkError, match=r"Check that a fresh login passes|cannot be reached"):
        adapter.play(play, light.session())

    assert "Status: active" in light.shell("ufw status")
    poll(lambda: "Status: inactive" in light.shell("ufw status"), every=1)
    light.shell("rm /etc/ufw/after.init; test ! -e /etc/nologin")
    assert light.perform(ansible.firewall) is Ending.DONE


@LIGHT
def test_an_unknown_package(light: Host) -> None:
    with pytest.raises(errors.RemoteCommandError) as caught:
        light.perform(ansible.security_updates, security_updates={"packages": ["no-such-package"]})

    assert str(caught.value) == (
        "task 'Install the packages' failed: No package matching 'no-such-package' is available"
    )


@LIGHT
def test_a_checksum_for_another_architecture_only(light: Host) -> None:
    """That is the operator's to mend, and is said before anything is fetched."""
    compose = {"method": "download", "url": "http://127.0.0.1:9/{arch}", "sha256": {"vax": "0" * 64}}
    ansible.render(light.facts, light.context(compose=compose))
    play = adapter.Play("install-docker-compose.yml", light.folder / "ansible", light.target())

    with pytest.raises(errors.ConfigurationError, match="has no checksum for"):
        adapter.play(play, light.session())


@FULL
@pytest.mark.thorough  # test_full.py does so too
def test_docker_and_compose(tmp_path: Path) -> None:
    """The engine runs and the login may use it; the plugin comes from a server on the host's own loopback."""
    with running(tmp_path, HostKind.FULL, "admin") as full:
        assert [full.perform(ansible.install_docker) for _ in range(2)] == [Ending.DONE, Ending.UNCHANGED]
        assert full.shell("systemctl is-active docker; systemctl is-enabled docker") == "active\nenabled\n"

        arch = full.shell("uname -m").strip()
        full.shell(
            f"mkdir /srv/files; cat > /srv/files/compose-{arch} <<'E'\n{PLUGIN}E\n"
            "cd /srv/files; setsid python3 -m http.server --bind 127.0.0.1 8000 >/dev/null 2>&1 </dev/null &"
        )
        sums = {"vax": "0" * 64, arch: hashlib.sha256(PLUGIN.encode()).hexdigest()}
        compose = {"method": "download", "url": "http://127.0.0.1:8000/compose-{arch}", "sha256": sums}
        with pytest.raises(errors.RemoteCommandError, match="checksum"):
            full.perform(ansible.install_compose, compose=compose | {"sha256": {arch: "0" * 64}})
        endings = [full.perform(ansible.install_compose, compose=compose) for _ in range(2)]
        assert endings == [Ending.DONE, Ending.UNCHANGED]
        assert full.shell("docker compose version") == "Docker Compose version v9.9.9\n"

        for step in (ansible.security_updates, ansible.firewall):
            assert [full.perform(step) for _ in range(2)] == [Ending.DONE, Ending.UNCHANGED]
        assert full.shell("systemctl is-enabled apt-daily-upgrade.timer ufw") == "enabled\nenabled\n"


@LIGHT
def test_packages_that_were_left_half_installed_are_mended(light: Host) -> None:
    """As a cancel in the middle of apt leaves them: it refuses all until dpkg has been told to go on."""
    light.shell(
        "apt-get --yes purge unattended-upgrades ufw >/dev/null 2>&1; cd /tmp && apt-get download ufw 2>/dev/null && "
        "dpkg --unpack ufw_*.deb && cp /var/lib/dpkg/status /var/lib/dpkg/updates/0001"
    )
    assert "dpkg was interrupted" in light.shell("apt-get --yes install unattended-upgrades 2>&1 || true")

    assert light.perform(ansible.security_updates) is Ending.DONE
    assert light.shell("dpkg --audit; ls /var/lib/dpkg/updates") == ""
    assert light.shell("dpkg-query -W -f '${db:Status-Status}' ufw") == "installed"
