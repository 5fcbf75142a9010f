"""Real light and rootless hosts, as the templates and the demo make them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.adapters import daemon
from tasks.sandbox import api, control, ladder, namespaces, store
from tasks.sandbox.model import HostKind, Instance
from tests.e2e.sandboxes import Login, Sandbox

RUNGS = {rung.kind: rung for rung in ladder.look().rungs}
NOBODY = 65534
PROBE = "import subprocess, sys, tasks.sandbox.listener; subprocess.run([sys.executable, '-c', ''], check=True)"
REPOSITORY = Path(__file__).parents[2]


def needs(kind: HostKind) -> pytest.MarkDecorator:
    """Skip, with the reasons, where such hosts cannot be made."""
    lacks = "; ".join(lack.reason for lack in RUNGS[kind].lacks)
    return pytest.mark.skipif(bool(lacks), reason=lacks or "possible")


light, rootless = needs(HostKind.LIGHT), needs(HostKind.ROOTLESS)


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory) -> Login:
    return Login.made(tmp_path_factory.mktemp("login"))


@pytest.fixture
def sandbox(tmp_path: Path, login: Login) -> Iterator[Sandbox]:
    """An empty sandbox; afterwards nothing of it may be left."""
    made = Sandbox(tmp_path / "sandbox", login)
    yield made
    for name in store.names(made.directory):
        api.destroy(made.directory, name, made.said.append)
    assert made.left_over() == []


def create(sandbox: Sandbox, name: str, kind: HostKind, user: str = "root", **options: object) -> Instance:
    host = api.create(sandbox.spec(name, kind, user, **options), sandbox.said.append)
    if options.get("listen", True):
        sandbox.login.wait(host, user)
    return host


def first_process(sandbox: Sandbox, name: str) -> daemon.Started:
    found = namespaces.running(store.home(sandbox.directory, name))
    assert found
    return found


@light
def test_a_light_host_has_cloud_init_packages_and_a_firewall_of_its_own(sandbox: Sandbox) -> None:
    host, say = create(sandbox, "l1", HostKind.LIGHT), sandbox.login.say

    assert say(host, "cloud-init status --wait | tail -1") == "status: done"
    assert say(host, "hostname; id -un; . /etc/os-release; echo $ID") == "l1\nroot\ndebian"
    say(host, "apt-get -q update && apt-get -q -y install hello")
    assert say(host, "hello") == "Hello, world!"
    assert "table inet mine" in say(host, "nft add table inet mine && nft list ruleset")
    assert sandbox.login.ssh(host, "exit 7").returncode == 7
    assert not Path("/usr/bin/hello").exists()


@light
def test_the_package_proxy_goes_nowhere_else(sandbox: Sandbox) -> None:
    host = create(sandbox, "l1", HostKind.LIGHT)
    script = (
        "exec 3<>/dev/tcp/127.0.0.1/3142; printf 'GET http://elsewhere.test/ HTTP/1.1\\r\\n\\r\\n' >&3; head -1 <&3"
    )

    assert sandbox.login.say(host, f'bash -c "{script}"') == "HTTP/1.1 403 Forbidden"
    assert sandbox.login.say(host, "ip -o link | wc -l") == "1"  # its loopback is all the network it has


@light
def test_packages_can_be_cut_off(sandbox: Sandbox) -> None:
    host = create(sandbox, "l1", HostKind.LIGHT, packages=False)

    assert sandbox.login.ssh(host, "apt-get -q -y -o Acquire::Retries=0 install hello").returncode == 100


@light
def test_an_error_of_cloud_init_is_real(sandbox: Sandbox) -> None:
    user_data = sandbox.login.user_data(extra={"runcmd": ["exit 3"]})
    host = create(sandbox, "l1", HostKind.LIGHT, user_data=user_data)
    done = sandbox.login.ssh(host, "cloud-init status --wait --long")

    assert done.returncode == 1
    assert "status: error" in done.stdout


@light
def test_a_light_host_can_be_without_cloud_init(sandbox: Sandbox) -> None:
    host = create(sandbox, "l1", HostKind.LIGHT, user="deploy", cloud_init=False)

    assert sandbox.login.say(host, "id -un; command -v cloud-init || echo none", "deploy") == "deploy\nnone"


@light
def test_a_light_host_that_was_killed_refuses_and_boots_again_with_its_disk(sandbox: Sandbox) -> None:
    host = create(sandbox, "l1", HostKind.LIGHT, cloud_init=False)
    sandbox.login.say(host, "echo kept >/root/file")
    daemon.end(first_process(sandbox, "l1"))

    stopped = api.status(sandbox.directory, "l1")
    assert stopped == host.model_copy(update={"status": "stopped"})
    assert create(sandbox, "l1", HostKind.LIGHT, cloud_init=False) == host
    assert sandbox.login.say(host, "cat /root/file") == "kept"


@light
def test_a_half_made_host_is_made_anew(sandbox: Sandbox) -> None:
    create(sandbox, "l1", HostKind.LIGHT, cloud_init=False)
    before = first_process(sandbox, "l1")
    (store.home(sandbox.directory, "l1") / "complete").unlink()

    create(sandbox, "l1", HostKind.LIGHT, cloud_init=False)
    assert first_process(sandbox, "l1") != before
    assert not daemon.alive(before)


@light
def test_a_lost_listener_is_replaced_and_knows_the_hosts(sandbox: Sandbox) -> None:
    hosts = [create(sandbox, name, HostKind.LIGHT, cloud_init=False) for name in ("l1", "l2")]
    control.stop(sandbox.directory)
    assert sandbox.login.ssh(hosts[1], "true").returncode == 255

    create(sandbox, "l1", HostKind.LIGHT, cloud_init=False)
    sandbox.login.wait(hosts[1])


@light
def test_many_creates_at_once_by_many_processes(sandbox: Sandbox) -> None:
    """Six names, each twice: six hosts."""

    def run(name: str) -> dict[str, object]:
        text = sandbox.spec(name, HostKind.LIGHT, cloud_init=False).model_dump_json()
        argv = [sys.executable, "-m", "tasks.sandbox", "create"]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, cwd=REPOSITORY, check=True)
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, [f"l{number}" for number in range(6)] * 2))

    hosts = api.instances(sandbox.directory)
    assert sorted(found, key=str) == sorted([host.model_dump() for host in hosts] * 2, key=str)
    assert len({host.ip_address for host in hosts}) == 6
    assert [sandbox.login.say(host, "hostname") for host in hosts] == [host.name for host in hosts]


@light
def test_nothing_listens_where_that_was_asked_for(sandbox: Sandbox) -> None:
    host = create(sandbox, "l1", HostKind.LIGHT, listen=False, cloud_init=False)

    assert "Connection refused" in sandbox.login.ssh(host, "true").stderr
    create(sandbox, "l1", HostKind.LIGHT, cloud_init=False)  # now it is asked for: the same host is opened


@light
def test_a_host_that_runs_is_given_packages_and_loses_them_again(sandbox: Sandbox) -> None:
    host = create(sandbox, "l1", HostKind.LIGHT, packages=False, cloud_init=False)
    probe = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/3142'"
    assert sandbox.login.ssh(host, probe).returncode == 1

    for packages, status in ((True, 0), (False, 1), (True, 0)):
        create(sandbox, "l1", HostKind.LIGHT, packages=packages, cloud_init=False)
        assert sandbox.login.ssh(host, probe).returncode == status


@rootless
def test_a_rootless_host_runs_commands_in_its_own_files(sandbox: Sandbox) -> None:
    host, login = create(sandbox, "r1", HostKind.ROOTLESS, user="deploy"), sandbox.login

    assert login.say(host, "hostname; pwd; sudo -n -u root id -u", "deploy") == "r1\n/home/deploy\n0"
    assert login.ssh(host, "touch /usr/mine", "deploy").returncode == 1
    login.say(host, "echo mine >/etc/mine; python3 -c 'import sys'", "deploy")
    assert not Path("/etc/mine").exists()
    assert login.say(host, "seq 300000", "deploy").split() == [str(number) for number in range(1, 300001)]


@rootless
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes a plain user, which takes root; as a plain user all tests do")
def test_a_plain_user_makes_a_rootless_host(login: Login) -> None:
    directory = Path("/var/tmp") / f"stepmark-test-{os.getpid()}"
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)
    sandbox = Sandbox(directory, login)
    try:
        spec = sandbox.spec("r1", HostKind.ROOTLESS, roots=directory / "roots").model_dump_json()
        host = Instance.model_validate_json(as_nobody("create", spec, directory))
        login.wait(host)
        assert login.say(host, "id -u; awk '{print $1, $2}' /proc/self/uid_map") == f"0\n0 {NOBODY}"
        assert json.loads(as_nobody("destroy", spec, directory)) == {"destroyed": True}
        assert sandbox.left_over() == []
    finally:
        api.destroy(directory, "r1", sandbox.said.append)
        shutil.rmtree(directory)


def as_nobody(verb: str, spec: str, home: Path) -> str:
    """Run the program as a plain user, by a Python that a plain user can run."""
    modules = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    env = {
        "PATH": daemon.PATH,
        "HOME": str(home),
        "PYTHONPATH": f"{REPOSITORY}:{modules}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    for python in (sys.executable, "/usr/bin/python3"):
        argv = [*become, python, "-m", "tasks.sandbox", verb]
        probe = [*become, python, "-c", PROBE]
        if subprocess.run(probe, env=env, cwd="/", capture_output=True, check=False).returncode == 0:
            return subprocess.run(
                argv, env=env, cwd="/", input=spec, stdout=subprocess.PIPE, text=True, check=True
            ).stdout
    pytest.skip("no Python here that a plain user can run with our modules: the checkout is in a private directory")
