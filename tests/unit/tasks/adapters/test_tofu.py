from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from tasks import errors
from tasks.adapters import process, tofu, tofu_folder, tofu_salvage
from tasks.adapters.tofu_folder import Folder
from tasks.facts import PlanSummary
from tests.unit.tasks.commands import Answer, Commands, session

CASES = Path(__file__).parents[4] / "tests" / "cases" / "tofu"
READ_ONLY = "tofu init -input=false -no-color -reconfigure -lockfile=readonly"
INIT = Answer(files={".terraform/terraform.tfstate": "{}"})
PLAN = "tofu plan -input=false -lock-timeout=10s -detailed-exitcode -out=plan.tfplan -json"
SHOW = "tofu show -no-color plan.tfplan"
APPLY = "tofu apply -input=false -lock-timeout=10s -json plan.tfplan"
DESTROY = "tofu destroy -input=false -lock-timeout=10s -auto-approve -json"
PUSH = "tofu state push -lock-timeout=10s errored.tfstate"


def answer(case: str) -> Answer:
    given = json.loads((CASES / f"{case}.json").read_text())
    text = {name: "\n".join(given[name]) for name in ("stdout", "stderr")}
    return Answer(text["stdout"], text["stderr"], given["exit_status"])


def planned(case: str) -> Answer:
    return replace(answer(case), files={"plan.tfplan": case})


@dataclass(frozen=True)
class Bench:
    """A folder whose programs are scripted. log: what the run's log shows."""

    folder: Folder
    commands: Commands
    log: list[str]

    @property
    def files(self) -> dict[str, str]:
        found = (path for path in self.folder.path.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder.path)): path.read_text() for path in found}

    def write(self, name: str, text: str) -> None:
        (self.folder.path / name).write_text(text)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One that is initialised on this worker already."""
    commands, log = Commands(), list[str]()
    monkeypatch.setattr(process, "run", commands.run)
    path = tmp_path / "workspace"
    path.mkdir()
    (path / "main.tf").write_text("# static\n")
    folder = Folder(path, "/opt/tofu", tmp_path / "data", None, session(log), {"TF_HTTP_ADDRESS": "http://[::1]:4000"})
    commands.script = {"tofu init": INIT, "tofu show": Answer("+ create\n")}
    tofu.init(folder)
    commands.asked.clear()
    return Bench(folder, commands, log)


def test_every_command_gets_our_environment(bench: Bench, tmp_path: Path) -> None:
    bench.commands.script["tofu validate"] = answer("validate")

    tofu.validate(bench.folder)

    data = tmp_path / "data"
    assert [(command.argv, command.cwd, dict(command.env)) for command in bench.commands.asked] == [
        (
            ("/opt/tofu", "validate", "-json"),
            tmp_path / "workspace",
            {
                "TF_IN_AUTOMATION": "1",
                "TF_INPUT": "0",
                "CHECKPOINT_DISABLE": "1",
                "TF_PLUGIN_CACHE_DIR": str(data / "tofu-plugins"),
                "TF_CLI_CONFIG_FILE": str(data / "tofu.tfrc.json"),
                "TF_HTTP_ADDRESS": "http://[::1]:4000",
            },
        )
    ]
    assert (data / "tofu.tfrc.json").read_text() == "{}\n"


def test_a_mirror_is_the_only_source_of_providers(bench: Bench, tmp_path: Path) -> None:
    bench.commands.script["tofu validate"] = answer("validate")

    tofu.validate(replace(bench.folder, mirror=Path('/srv/"${mirror}"')))

    assert json.loads((tmp_path / "data" / "tofu.tfrc.json").read_text()) == {
        "provider_installation": [{"filesystem_mirror": [{"path": '/srv/"${mirror}"'}]}]
    }


def test_init_gives_the_digest_of_the_lock(bench: Bench) -> None:
    bench.commands.script["tofu init"] = replace(INIT, files={".terraform.lock.hcl": "provider {}"})

    one, other = tofu.init(bench.folder), None
    bench.commands.script["tofu init"] = replace(INIT, files={".terraform.lock.hcl": "provider { other }"})
    other = tofu.init(bench.folder)

    assert len({one, other, None}) == 3
    assert bench.commands.texts == ["tofu init -input=false -no-color -reconfigure"] * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda bench: bench.write("main.tf", "# newer\n"),
        lambda bench: bench.write(".terraform.lock.hcl", "provider {}"),
        lambda bench: (bench.folder.path / ".terraform" / "stepmark-init").unlink(),
    ],
    ids=["newer templates", "another lock", "another worker"],
)
def test_a_worker_that_lacks_the_init_does_it_again(bench: Bench, change: Callable[[Bench], object]) -> None:
    change(bench)
    bench.commands.script["tofu validate"] = answer("validate")

    tofu.validate(bench.folder)
    tofu.validate(bench.folder)

    assert bench.commands.texts == [READ_ONLY, *["tofu validate -json"] * 2]


@pytest.mark.parametrize("text", ['{"version": 3, "ba', "", None], ids=["cut off", "empty", "gone"])
def test_an_init_that_a_full_disk_cut_off_is_done_again(bench: Bench, text: str | None) -> None:
    """On a file cut off even init fails, so it must not see it."""
    backend = bench.folder.path / ".terraform" / "terraform.tfstate"
    backend.unlink() if text is None else backend.write_text(text)
    seen: list[bool] = []

    def write(_: str) -> None:
        seen.append(backend.exists())

    bench.commands.script |= {"tofu init": Answer("Initializing\n"), "tofu validate": answer("validate")}
    tofu.ensure_init(replace(bench.folder, session=replace(bench.folder.session, write=write)))

    assert (bench.commands.texts, seen) == ([READ_ONLY], [False])


def test_another_binary_needs_another_init(bench: Bench) -> None:
    bench.commands.script["terraform"] = answer("validate")

    tofu.validate(replace(bench.folder, binary="/opt/terraform"))

    assert [text.split()[:2] for text in bench.commands.texts] == [["terraform", "init"], ["terraform", "validate"]]


def test_messages_name_the_program_that_runs(bench: Bench) -> None:
    bench.commands.script["terraform"] = answer("apply-stale")

    with pytest.raises(errors.InfrastructureError, match=r"^terraform init: Saved plan is stale"):
        tofu.validate(replace(bench.folder, binary="/opt/terraform"))


def test_an_init_that_failed_is_not_believed(bench: Bench) -> None:
    bench.write("main.tf", "# newer\n")
    bench.commands.script["tofu init"] = answer("init-provider-missing")

    for _ in range(2):
        with pytest.raises(errors.InfrastructureError):
            tofu.validate(bench.folder)

    assert bench.commands.texts == [READ_ONLY] * 2


def test_one_init_at_a_time_and_not_for_ever(bench: Bench) -> None:
    late = replace(bench.folder, session=session(seconds=-1))

    with tofu_folder.downloading(bench.folder), pytest.raises(errors.DeadlineError, match="held the plugin cache"):
        tofu.init(late)

    tofu.init(bench.folder)
    assert bench.commands.texts == ["tofu init -input=false -no-color -reconfigure"]


@pytest.mark.parametrize(
    ("case", "plan"),
    [
        ("plan-creates", tofu.Plan(PlanSummary(add=2, change=0, destroy=0), changed=True)),
        ("plan-nothing", tofu.Plan(PlanSummary(add=0, change=0, destroy=0), changed=False)),
        ("plan-replaces-tainted", tofu.Plan(PlanSummary(add=1, change=0, destroy=1), changed=True)),
    ],
)
def test_plan(bench: Bench, case: str, plan: tofu.Plan) -> None:
    bench.commands.script["tofu plan"] = planned(case)

    assert tofu.plan(bench.folder, allow_destroy=False) == plan
    shown = [SHOW] if plan.changed else []
    assert (bench.commands.texts, bench.files[tofu.PLAN]) == ([PLAN, *shown], case)


def test_a_plan_that_replaces_is_refused_and_not_kept(bench: Bench) -> None:
    bench.commands.script["tofu plan"] = planned("plan-replaces")

    with pytest.raises(errors.DestroyRefusedError) as caught:
        tofu.plan(bench.folder, allow_destroy=False)

    assert str(caught.value) == "the plan would destroy or replace terraform_data.boot, terraform_data.host"
    assert "--allow-destroy" in caught.value.help
    assert tofu.PLAN not in bench.files
    assert bench.log[-1] == "+ create"


def test_a_plan_that_only_starts_the_host_again_needs_no_leave(bench: Bench) -> None:
    folder = replace(bench.folder, boot="terraform_data.boot")
    bench.commands.script["tofu plan"] = planned("plan-starts")

    made = tofu.plan(folder, allow_destroy=False)

    assert made == tofu.Plan(PlanSummary(add=1, change=0, destroy=1), changed=True, starts=True)
    assert not tofu.plan(replace(bench.folder, boot="other.boot"), allow_destroy=True).starts


def test_a_start_that_comes_with_another_host_is_no_mere_start(bench: Bench) -> None:
    """Nor beside a host that is half made, which may be replaced as well."""
    folder, whole = replace(bench.folder, boot="terraform_data.boot"), planned("plan-replaces")
    bench.commands.script["tofu plan"] = whole

    with pytest.raises(errors.DestroyRefusedError, match=r"destroy or replace terraform_data\.host$"):
        tofu.plan(folder, allow_destroy=False)

    assert not tofu.plan(folder, allow_destroy=True).starts
    tainted = whole.stdout.replace('"reason":"cannot_update"', '"reason":"tainted"', 1)
    bench.commands.script["tofu plan"] = replace(whole, stdout=tainted)
    assert not tofu.plan(folder, allow_destroy=False).starts


@pytest.mark.parametrize("exit_status", [2, 1])
def test_a_plan_is_for_the_owner_only(bench: Bench, exit_status: int) -> None:
    """It holds the values of variables. One that failed may leave a part of it."""
    bench.commands.script["tofu plan"] = replace(planned("plan-creates"), exit_status=exit_status)

    with contextlib.suppress(errors.InfrastructureError):
        tofu.plan(bench.folder, allow_destroy=False)

    assert stat.S_IMODE((bench.folder.path / tofu.PLAN).stat().st_mode) == 0o600


def test_a_plan_that_failed_leaves_none_to_apply(bench: Bench) -> None:
    bench.write(tofu.PLAN, "older")
    bench.commands.script["tofu plan"] = answer("plan-variable-missing")

    with pytest.raises(errors.InfrastructureError):
        tofu.plan(bench.folder, allow_destroy=False)

    assert tofu.PLAN not in bench.files


def test_a_plan_that_replaces_may_be_allowed(bench: Bench) -> None:
    bench.commands.script["tofu plan"] = planned("plan-replaces")

    made = tofu.plan(bench.folder, allow_destroy=True)

    assert (made, tofu.PLAN in bench.files) == (tofu.Plan(PlanSummary(add=2, change=0, destroy=2), changed=True), True)


def test_the_log_is_for_people(bench: Bench) -> None:
    bench.folder.session.redact.add("hunter22")
    bench.commands.script |= {"tofu plan": planned("plan-creates"), "tofu show": Answer("+ create\n  = hunter22\n")}

    tofu.plan(bench.folder, allow_destroy=False)

    assert bench.log == [
        "Terraform 1.11.4",
        "terraform_data.host: Plan to create",
        "terraform_data.boot: Plan to create",
        "Plan: 2 to add, 0 to change, 0 to destroy.",
        "Outputs: 1",
        "+ create",
        "  = ***",
    ]


def test_apply_takes_the_saved_plan(bench: Bench) -> None:
    bench.write(tofu.PLAN, "saved")
    bench.commands.script["tofu apply"] = answer("apply-creates")

    applied = tofu.apply(bench.folder, allow_destroy=False)

    assert applied == tofu.Applied(PlanSummary(add=2, change=0, destroy=0), plan=None)
    assert bench.commands.texts == [APPLY]


NOTHING = PlanSummary(add=0, change=0, destroy=0)


def test_a_stale_plan_is_made_again(bench: Bench) -> None:
    """A run resumed at apply finds the plan that it has applied already."""
    bench.write(tofu.PLAN, "saved")
    bench.commands.script["tofu apply"] = [answer("apply-stale"), answer("apply-creates")]
    bench.commands.script["tofu plan"] = planned("plan-creates")

    applied = tofu.apply(bench.folder, allow_destroy=False)

    made = PlanSummary(add=2, change=0, destroy=0)
    assert applied == tofu.Applied(made, plan=tofu.Plan(made, changed=True))
    assert bench.commands.texts == [APPLY, PLAN, SHOW, APPLY]


def test_a_stale_plan_made_again_may_not_replace_either(bench: Bench) -> None:
    bench.write(tofu.PLAN, "saved")
    bench.commands.script["tofu apply"] = [answer("apply-stale")]
    bench.commands.script["tofu plan"] = planned("plan-replaces")

    with pytest.raises(errors.DestroyRefusedError):
        tofu.apply(bench.folder, allow_destroy=False)

    assert bench.commands.texts == [APPLY, PLAN, SHOW]


def test_without_a_plan_apply_makes_one_and_only_one(bench: Bench) -> None:
    bench.commands.script["tofu plan"] = planned("plan-creates")
    bench.commands.script["tofu apply"] = answer("apply-stale")

    with pytest.raises(errors.InfrastructureError, match="Saved plan is stale"):
        tofu.apply(bench.folder, allow_destroy=False)

    assert bench.commands.texts == [PLAN, SHOW, APPLY]


def test_a_failed_apply_tells_all(bench: Bench) -> None:
    bench.write(tofu.PLAN, "saved")
    bench.folder.session.redact.add("boot went wrong")
    bench.commands.script["tofu apply"] = answer("apply-provisioner-fails")

    with pytest.raises(errors.InfrastructureError) as caught:
        tofu.apply(bench.folder, allow_destroy=False)

    error = caught.value
    assert (error.summary, error.command, error.exit_status) == (
        "tofu apply: local-exec provisioner error: Error running command 'echo '***' >&2; exit 3': exit status 3. "
        "Output: ***",
        "/opt/tofu apply -input=false -lock-timeout=10s -json plan.tfplan",
        1,
    )
    assert error.output_tail.splitlines()[-2:] == [
        "Error: local-exec provisioner error",
        "Error running command 'echo '***' >&2; exit 3': exit status 3. Output: ***",
    ]
    assert bench.log == error.output_tail.splitlines()


@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
def test_the_kind_of_every_failure(bench: Bench, path: Path) -> None:
    given: dict[str, Any] = json.loads(path.read_text())
    bench.commands.script = {"tofu": answer(path.stem)}

    outcome = tofu_folder.attempt(bench.folder, *given["arguments"])

    if given["expect"]["error"] is not None:
        error = outcome.error()
        assert [type(error).__name__, error.summary] == given["expect"]["error"]
    else:
        assert outcome.report.errors == ()


def test_a_failing_plan_is_raised_by_its_kind(bench: Bench) -> None:
    bench.commands.script["tofu plan"] = answer("plan-token-refused")

    with pytest.raises(errors.AuthenticationError, match="token you provided is invalid"):
        tofu.plan(bench.folder, allow_destroy=False)


@pytest.mark.parametrize("kind", [errors.DeadlineError, errors.CancelledError, errors.ToolError])
def test_what_ends_it_passes_through(
    kind: type[errors.ToolError], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what had been said until then, as people read it."""

    def ended(_: process.Command, session: process.Session) -> None:
        session.write('{"@message":"Still creating..."}')
        raise kind("tofu did not go on", "tofu destroy", None, '{"@message":…')

    monkeypatch.setattr(process, "run", ended)

    with pytest.raises(kind) as caught:
        tofu.destroy(bench.folder)

    assert type(caught.value) is kind
    assert caught.value.args == ("tofu did not go on", "tofu destroy", None, "Still creating...")


def test_destroy(bench: Bench) -> None:
    bench.commands.script["tofu destroy"] = answer("destroy")

    assert tofu.destroy(bench.folder) == PlanSummary(add=0, change=0, destroy=2)
    assert bench.commands.texts == [DESTROY]


@pytest.mark.parametrize(
    ("ask", "script"),
    [
        (lambda folder: tofu.plan(folder, allow_destroy=False), {"tofu plan": planned("plan-creates")}),
        (lambda folder: tofu.apply(folder, allow_destroy=False), {"tofu apply": answer("apply-creates")}),
        (tofu.destroy, {"tofu destroy": answer("destroy")}),
    ],
    ids=["plan", "apply", "destroy"],
)
def test_a_state_that_was_not_taken_is_given_first(
    bench: Bench, ask: Callable[[Folder], object], script: dict[str, Answer | list[Answer]]
) -> None:
    bench.write(tofu.PLAN, "saved")
    bench.write(tofu_salvage.ERRORED, '{"serial": 7}')
    bench.commands.script |= {"tofu state push": Answer(), **script}

    ask(bench.folder)

    assert bench.commands.texts[0] == PUSH
    assert {name: text for name, text in bench.files.items() if name.endswith(".tfstate")} == {
        ".terraform/terraform.tfstate": "{}",
        "pushed-7.tfstate": '{"serial": 7}',
    }


def test_nothing_is_applied_while_a_state_is_not_taken(bench: Bench) -> None:
    bench.write(tofu.PLAN, "saved")
    bench.write(tofu_salvage.ERRORED, '{"serial": 7}')
    bench.commands.script["tofu state push"] = answer("state-pull-not-initialised")

    with pytest.raises(errors.StateError) as caught:
        tofu.apply(bench.folder, allow_destroy=False)

    assert caught.value.summary.startswith(
        "errored.tfstate in the workspace, left by an earlier apply, must be saved first: tofu state push: Backend"
    )
    assert (bench.commands.texts, bench.files[tofu_salvage.ERRORED]) == ([PUSH], '{"serial": 7}')


class Late:
    """Orphans: those that were kept, and whether one waits."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def keep(self, content: bytes) -> None:
        self.kept.append(content)

    def check(self) -> None:
        if self.kept:
            raise errors.OrphanedStateError("one waits")


def test_a_state_that_others_went_past_becomes_an_orphan(bench: Bench) -> None:
    """OpenTofu would not push it over theirs. The file has done its part: a worker is not stuck with it."""
    late = Late()
    bench.write("errored-0a1b2c3d.tfstate", '{"serial": 7}')
    bench.commands.script["tofu state push"] = answer("state-push-refused")

    for ask in (tofu.apply, tofu.plan):
        with pytest.raises(errors.OrphanedStateError):
            ask(replace(bench.folder, orphans=late), allow_destroy=False)

    left = [name for name in bench.files if name.endswith(".tfstate") and "/" not in name]
    assert (late.kept, left) == ([b'{"serial": 7}'], ["orphan-6d35b5c3.tfstate"])
    assert bench.commands.texts == ["tofu state push -lock-timeout=10s errored-0a1b2c3d.tfstate"]


def test_nothing_is_destroyed_while_an_orphan_waits(bench: Bench) -> None:
    late = Late()
    late.keep(b"{}")

    with pytest.raises(errors.OrphanedStateError):
        tofu.destroy(replace(bench.folder, orphans=late))

    assert bench.commands.texts == []


INFO = {"name": "web-1", "image": "debian-12", "status": "running", "ip_address": "192.0.2.7", "ssh_port": 2222}


def outputs(value: object) -> Answer:
    return Answer(json.dumps({"instance_info": {"sensitive": False, "value": value}}))


@pytest.mark.parametrize(
    ("given", "port"),
    [(INFO, 2222), ({**INFO, "ssh_port": None}, None), ({**INFO, "region": "fsn1"}, 2222)],
    ids=["all", "no port", "more"],
)
def test_output(bench: Bench, given: dict[str, object], port: int | None) -> None:
    bench.commands.script["tofu output"] = outputs(given)

    info = tofu.output(bench.folder)

    assert {**INFO, "ssh_port": port} == info.model_dump(mode="json")
    assert (bench.commands.texts, bench.log) == (["tofu output -no-color -json"], [])


@pytest.mark.parametrize(
    ("given", "summary"),
    [
        (Answer("{}"), "tofu output: the state has no output `instance_info`"),
        (
            outputs({**INFO, "ip_address": "web-1"}),
            "tofu output: instance_info is not as it must be: ip_address: value",
        ),
        (
            outputs({**INFO, "ssh_port": 0}),
            "tofu output: instance_info is not as it must be: ssh_port: Input should be",
        ),
        (outputs(None), "tofu output: instance_info is not as it must be: : Input should be"),
        (Answer("no json"), "tofu output: instance_info is not as it must be: Expecting value"),
    ],
)
def test_an_output_that_is_not_as_it_must_be(bench: Bench, given: Answer, summary: str) -> None:
    bench.commands.script["tofu output"] = given

    with pytest.raises(errors.InfrastructureError) as caught:
        tofu.output(bench.folder)

    assert caught.value.summary.startswith(summary)
    assert "\n" not in caught.value.summary


@pytest.mark.parametrize(("text", "serial"), [('{"version":4,"serial":3}\n', 3), ("", None)])
def test_serial(bench: Bench, text: str, serial: int | None) -> None:
    bench.commands.script["tofu state pull"] = Answer(text)

    assert (tofu.serial(bench.folder), bench.commands.texts, bench.log) == (serial, ["tofu state pull"], [])


def test_a_secret_that_json_had_changed_is_masked_in_the_log(bench: Bench) -> None:
    secret = 'a"b\\c/d'
    bench.folder.session.redact.add(secret)
    bench.commands.script["tofu validate"] = Answer(json.dumps({"@message": f"it is {secret}"}))

    tofu.validate(bench.folder)

    assert bench.log == ["it is ***"]


def programs(folder: Path, *names: str) -> str:
    folder.mkdir()
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("there", "named", "chosen"),
    [(("tofu", "terraform"), None, "tofu"), (("terraform",), None, "terraform"), (("tofu", "mine"), "mine", "mine")],
)
def test_the_choice_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], named: str | None, chosen: str
) -> None:
    path = programs(tmp_path / "bin", *there)
    monkeypatch.setenv("PATH", path)
    settings = Settings(tofu_binary=named, data_dir=Path("~/cache"), plugin_mirror=Path("~/mirror"))
    monkeypatch.setenv("HOME", "/home/me")

    folder = tofu_folder.open_folder(tmp_path, settings, session(), {"A": "b"})

    assert (folder.binary, folder.data, folder.mirror, folder.env) == (
        f"{path}/{chosen}",
        Path("/home/me/cache"),
        Path("/home/me/mirror"),
        {"A": "b"},
    )


@pytest.mark.parametrize(("named", "asked"), [(None, "tofu or terraform"), ("mine", "mine")])
def test_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, asked: str) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin"))

    with pytest.raises(errors.ToolMissingError, match=f"^{asked} is not on this worker's PATH$"):
        tofu_folder.binary(named)


def test_compare_locks_nothing_and_takes_no_leave(bench: Bench) -> None:
    """It is only looked at: what a plan may not do without leave, it may say."""
    bench.commands.script["tofu plan"] = planned("plan-replaces")

    found = tofu.compare(bench.folder)

    assert found == tofu.Difference(
        PlanSummary(add=2, change=0, destroy=2),
        changed=True,
        resources=("terraform_data.boot: replace", "terraform_data.host: replace"),
    )
    assert bench.commands.texts == [PLAN.replace("-lock-timeout=10s", "-lock=false"), SHOW]
    assert stat.S_IMODE((bench.folder.path / tofu.PLAN).stat().st_mode) == 0o600


def test_compare_fetches_what_is_declared_since(bench: Bench) -> None:
    """With other files the folder is initialised anew, also for providers that are not locked yet."""
    bench.commands.script["tofu plan"] = planned("plan-nothing")
    bench.write("main.tf", "# newer\n")

    assert tofu.compare(bench.folder) == tofu.Difference(tofu.NOTHING, changed=False, resources=())
    assert bench.commands.texts[0] == READ_ONLY.removesuffix(" -lockfile=readonly")
