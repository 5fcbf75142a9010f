import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import cloud_config
from tasks.sandbox.cloud_config import CloudConfig, File, User

FULL = """#cloud-config
hostname: web-1
users:
  - default
  - name: deploy
    ssh_authorized_keys: [ssh-ed25519 AAAA me]
    sudo: ALL=(ALL) NOPASSWD:ALL
    shell: /bin/bash
ssh_keys: {ed25519_private: PRIVATE, ed25519_public: PUBLIC}
write_files:
  - {path: /etc/motd, content: hello, permissions: '0600'}
packages: [hello]
runcmd:
  - touch /a
  - [touch, /b c]
"""


def test_parse() -> None:
    assert cloud_config.parse(FULL) == CloudConfig(
        users=(User("deploy", ("ssh-ed25519 AAAA me",), "/bin/bash", "ALL=(ALL) NOPASSWD:ALL"),),
        host_keys=(
            File("/etc/ssh/ssh_host_ed25519_key", "PRIVATE\n", "0600"),
            File("/etc/ssh/ssh_host_ed25519_key.pub", "PUBLIC\n", "0644"),
        ),
        files=(File("/etc/motd", "hello", "0600"),),
        packages=("hello",),
        commands=("touch /a", "touch '/b c'"),
    )


@pytest.mark.parametrize("text", ["#cloud-config\n", "{}", "hostname: web-1"])
def test_nothing_of_ours_is_an_empty_one(text: str) -> None:
    assert cloud_config.parse(text) == CloudConfig()


@pytest.mark.parametrize("text", ["[1, 2]", "{", "users: [{shell: /bin/sh}]", "write_files: 7", "ssh_keys: {x: 1}"])
def test_what_is_no_cloud_config_is_refused(text: str) -> None:
    with pytest.raises(errors.SandboxError, match="the user data is no cloud-config"):
        cloud_config.parse(text)


def test_without_host_keys_the_host_makes_its_own() -> None:
    assert cloud_config.script(CloudConfig()) == "ssh-keygen -A >/dev/null\n"


@settings(deadline=None, max_examples=40)  # each starts a shell
@given(content=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_any_content_is_written_as_it_is(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    target = tmp_path_factory.mktemp("host") / "it's $HOME; `here`"
    config = CloudConfig(host_keys=(File(str(target), content, "0600"),))
    daemon.call(("sh", "-eu"), timeout_seconds=60, text=cloud_config.script(config))

    assert target.read_bytes() == content.encode()


def test_users_and_packages_come_before_the_commands() -> None:
    lines = cloud_config.script(cloud_config.parse(FULL)).splitlines()
    wanted = ("useradd -m", "ssh-ed25519 AAAA me", "/etc/sudoers.d/90-deploy", "apt-get -q -y install", "touch /a")
    places = [next(number for number, line in enumerate(lines) if word in line) for word in wanted]

    assert places == sorted(places)
