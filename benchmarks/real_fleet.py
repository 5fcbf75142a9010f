"""Light hosts, made and configured for real, against the same commands in a shell loop with xargs.

python benchmarks/real_fleet.py --rounds 2               100 hosts; both three at a time, twice by turns. As root
python benchmarks/real_fleet.py --hosts 20 --slots 2 3 4 8 --at-once 2 3 4 8     how many at a time are best here

The loop runs what Stepmark has rendered, with the same programs, and keeps no record: no state that others see, no
fence, no log. It is what one would write by hand. The hosts are on the machine of the workers: how much at once is best
is not the same as with hosts elsewhere, and is chosen for both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from tasks.adapters import ansible, tofu_folder
from tasks.sandbox import api
from tasks.sandbox.model import HostKind, Spec
from tests.faults import server
from tests.support import poll
from workers import crypto

MARK = "<!-- What follows is written by benchmarks/real_fleet.py. -->"
# What a light host can do; Docker's engine, and with it a downloaded Compose, it cannot.
PLAYBOOKS = ("configure-security-updates.yml", "configure-firewall.yml")
FLEET = {
    "defaults": {
        "ssh": {"key": "file:key"},
        "parameters": {
            "compose": {"method": "download", "url": "https://example.invalid/{arch}", "sha256": {"x86_64": "0" * 64}}
        },
    },
    "rollout": {"max_parallel": 100},
}
LOOP = """
cd "$1" && exec >log 2>&1 || exit 1
"$TOFU" init -input=false && "$TOFU" validate || exit 1
"$TOFU" plan -input=false -out=tfplan && "$TOFU" apply -input=false tfplan || exit 1
address=$("$TOFU" output -json instance_info | sed 's/.*"ip_address":"\\([^"]*\\)".*/\\1/')
options="-F /dev/null -i $KEY -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=$1/known_hosts"
until ssh $options -p "$PORT" "root@$address" true >/dev/null 2>&1 </dev/null; do sleep 0.5; done
export ANSIBLE_SSH_ARGS="$options -o ControlMaster=auto -o ControlPath=/tmp/loop-%C -o ControlPersist=30s"
for playbook in $PLAYBOOKS; do
    ansible-playbook --inventory ansible/inventory.json --extra-vars @ansible/vars.json "$playbook" </dev/null || exit 1
done
"""


@dataclass(frozen=True)
class Taken:
    """How long a way took, and the user and system time of all its processes, in seconds."""

    name: str
    wall: float
    cpu: float


class Bench:
    """Hosts, Redis and workers in `folder`."""

    def __init__(self, folder: Path, hosts: int, url: str) -> None:
        self.folder = folder
        self.names = [f"real-{number:03}" for number in range(hosts)]
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"), check=True)  # noqa: S607
        crypto.create(folder / "encryption.key")
        provider = {"name": "sandbox", "host": "light", "directory": str(folder / "hosts"), "cloud_init": False}
        environments = [{"name": name, "provider": provider} for name in self.names]
        (folder / "fleet.yaml").write_text(json.dumps(FLEET | {"environments": environments}))
        own = {name: value for name, value in os.environ.items() if not name.startswith("STEPMARK_")}
        self.variables = own | {
            "STEPMARK_REDIS_URL": url,
            "STEPMARK_ENCRYPTION_KEY_FILE": str(folder / "encryption.key"),
            "STEPMARK_DATA_DIR": str(folder / "data"),
        }

    @contextmanager
    def _worker(self, slots: int) -> Iterator[None]:
        """The workers, as an operator starts them, once they take messages, while the block lasts."""
        log = self.folder / f"worker-{slots}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                (sys.executable, "-m", "workers.cli", "worker"),
                cwd=self.folder,
                env=self.variables | {"STEPMARK_TOOL_SLOTS": str(slots)},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            poll(lambda: log.read_bytes().count(b" ready.") == 2, seconds=60)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
            _end_hosts(self.folder)

    def both(self, slots: Sequence[int], at_once: Sequence[int]) -> list[Taken]:
        """Stepmark with each number of slots, then the loop with each number at once."""
        found = []
        try:
            for measure, numbers in ((self.stepmark, slots), (self.loop, at_once)):
                for number in numbers:
                    found.append(measure(number))
                    print(found[-1], file=sys.stderr, flush=True)
        finally:  # a loop that failed leaves its hosts
            _end_hosts(self.folder)
        return found

    def stepmark(self, slots: int) -> Taken:
        """Make and configure all hosts with Stepmark; what it has rendered for them is kept for the loop."""
        with self._worker(slots):
            before, began = _machine_cpu(), time.monotonic()
            done = self._command("up", "fleet.yaml", "--json")
            taken = Taken(f"stepmark up, {slots} slots", time.monotonic() - began, _machine_cpu() - before)
            found = json.loads(done.stdout)["rollout"]
            if found["succeeded"] != len(self.names):
                raise SystemExit(f"not all hosts went well: {found}")
            for name in self.names:
                self._prepare(name)
            self._command("destroy", "--yes", *self.names)
        return taken

    def loop(self, at_once: int) -> Taken:
        """Make and configure all hosts with the loop."""
        for name in self.names:
            shutil.rmtree(self._place(name), ignore_errors=True)
            shutil.copytree(self.folder / "rendered" / name, self._place(name))
        before, began = _machine_cpu(), time.monotonic()
        command = ("xargs", "-P", str(at_once), "-I", "{}", "sh", "-c", LOOP, "loop", "{}")
        with (self.folder / f"loop-{at_once}.log").open("wb") as log:
            subprocess.run(
                command,
                input="\n".join(str(self._place(name)) for name in self.names).encode(),
                env=self._loop_variables(),
                stdout=log,
                stderr=log,
                check=True,
            )
        taken = Taken(f"xargs -P {at_once}", time.monotonic() - began, _machine_cpu() - before)
        _end_hosts(self.folder)
        return taken

    def _loop_variables(self) -> dict[str, str]:
        return self.variables | {
            "TOFU": tofu_folder.binary(None),
            "KEY": str(self.folder / "key"),
            "PORT": "2222",
            "PLAYBOOKS": " ".join(str(ansible.PLAYBOOKS / name) for name in PLAYBOOKS),
            "ANSIBLE_CONFIG": str(ansible.PLAYBOOKS / "ansible.cfg"),
            "ANSIBLE_PRIVATE_KEY_FILE": str(self.folder / "key"),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": "/dev/null",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def _command(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = (sys.executable, "-m", "workers.cli", *words)
        return subprocess.run(argv, cwd=self.folder, env=self.variables, stdout=subprocess.PIPE, text=True, check=True)

    def _prepare(self, name: str) -> None:
        """What was rendered, with its state beside it instead of in Redis."""
        place = self.folder / "rendered" / name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(
            self.folder / "data" / "workspaces" / name, place, ignore=shutil.ignore_patterns(".terraform*", "*plan*")
        )
        main = place / "main.tf"
        main.write_text(main.read_text().replace('backend "http" {}', ""))

    def _place(self, name: str) -> Path:
        return self.folder / "loop" / name


def _end_hosts(folder: Path) -> None:
    for host in api.instances(folder / "hosts"):
        api.destroy(folder / "hosts", host.name, lambda _: None)


def _machine_cpu() -> float:
    """User and system time of all processes of the machine, in seconds: the hosts are processes too."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[1]) + int(fields[2]) + int(fields[3])) / os.sysconf("SC_CLK_TCK")


def lines(rounds: Sequence[Sequence[Taken]], hosts: int) -> list[str]:
    """The table: medians. The ratio of each round is to its best loop."""
    of = f"{hosts} light hosts; {_machine()}; rounds: {len(rounds)}"
    rows = [of, "", "| | wall | CPU a host | wall / best loop |", "|---|---|---|---|"]
    for number, each in enumerate(rounds[0]):
        wall = median(taken[number].wall for taken in rounds)
        cpu = median(taken[number].cpu for taken in rounds) / hosts
        ratio = median(taken[number].wall / _best_loop(taken) for taken in rounds)
        rows.append(f"| {each.name} | {wall:.0f} s | {cpu:.2f} s | {ratio:.2f} |")
    return rows


def _best_loop(found: Sequence[Taken]) -> float:
    return min(taken.wall for taken in found if taken.name.startswith("xargs"))


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--slots", type=int, nargs="+", default=[3], help="how many tools Stepmark runs at one time")
    parser.add_argument("--at-once", type=int, nargs="+", default=[3], help="how many the loop has at one time")
    parser.add_argument("--keep", type=Path, help="a new folder for the logs")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page, after its mark")
    chosen = parser.parse_args()
    api.ensure_root(HostKind.LIGHT, Spec.model_fields["roots"].default, print)
    with ExitStack() as stack:
        folder = chosen.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stepmark-real-")))
        redis = stack.enter_context(server.running(folder.absolute() / "redis", appendfsync="everysec"))
        bench = Bench(folder.absolute(), chosen.hosts, redis.url)
        found = [bench.both(chosen.slots, chosen.at_once) for _ in range(chosen.rounds)]
    table = lines(found, chosen.hosts)
    print("\n".join(table))
    if chosen.write:
        text = chosen.write.read_text().partition(MARK)[0]
        chosen.write.write_text("\n".join((f"{text}{MARK}", "", *table, "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
