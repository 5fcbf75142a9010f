"""The pages under docs/ name what there is, all of it, and nothing else."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import config
from config import fleet
from config.layers import SECTIONS
from config.model import Model
from config.parameters import Parameters
from config.providers import registry
from config.rollout import Policy
from config.schedules import Schedule
from config.settings import Settings
from tasks import fleetcheck
from tasks.environment import MOVES, State
from tasks.errors import Kind
from tasks.failure import RULES, Cause, FailureContext
from tasks.result import Ending
from tasks.workflows import WORKFLOWS
from workers.cli import main
from workers.cli.reports import Exit
from workers.keys import Keys

# Beside the tests; the packages may be elsewhere.
TOP = Path(__file__).parents[2]
PACKAGES = Path(config.__file__).parents[1]
PAGES = sorted((TOP / "docs").rglob("*.md"))
STEPS = {step.name for workflow in WORKFLOWS.values() for step in workflow.steps}
GROUP = dict(typer.main.get_command(main.app).commands)  # type: ignore[attr-defined]  # a group, typed as a command
COMMANDS = set(GROUP)
# Beside them `worker drain` and their like.
FOUND = GROUP | {
    f"{name} {part}": found
    for name, command in GROUP.items()
    for part, found in getattr(command, "commands", {}).items()
}
CODE = re.compile(r"`([^`\n]+)`")
each_page = pytest.mark.parametrize("page", [*PAGES, TOP / "README.md"], ids=lambda page: str(page.relative_to(TOP)))


def page(name: str) -> str:
    return (TOP / "docs" / name).read_text(encoding="utf-8")


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table whose first line begins with `heading`."""
    found = text[text.index(heading) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in found]


def first_words(text: str, heading: str) -> set[str]:
    return {word for row in rows(text, heading) for word in CODE.findall(row[0])}


POLICY = "--max-parallel --per-provider --canary --canary-then --batch --budget --deadline"


def outside_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", outside_blocks(page.read_text(encoding="utf-8")))

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@each_page
def test_modules_that_are_named_exist(page: Path) -> None:
    found = re.findall(r"`((?:config|tasks|workers)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    made_up = re.compile(r"NAME|/script\b")  # any name; the provider that a page has as its example

    assert [name for name in found if not (PACKAGES / name).exists() and not made_up.search(name)] == []


@each_page
def test_commands_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"(?:`|\$ |^)stepmark ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))

    assert named <= COMMANDS


@each_page
def test_variables_that_are_named_exist(page: Path) -> None:
    if page.name == "deploy.md":
        return  # it has Compose's own variables beside them
    of_examples = {"STEPMARK_USER_DATA"}
    known = {f"STEPMARK_{name.upper()}" for name in Settings.model_fields}

    assert set(re.findall(r"STEPMARK_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8"))) <= known | of_examples


@each_page
def test_steps_that_are_named_exist(page: Path) -> None:
    """A word that looks like a step's name: beside a step's number, after `--step` or `--from`, or in `timeouts`."""
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:\d/\d+|--step|--from|timeouts:) \{?([a-z]+(?:-[a-z]+)+)", text))

    assert named <= STEPS | ({"check-disk"} if page.name == "add-a-step.md" else set())


def test_the_index_names_every_page() -> None:
    linked = {(TOP / "docs" / link).resolve() for link in re.findall(r"\]\(([^)]+)\)", page("README.md"))}

    assert linked == {path.resolve() for path in PAGES} - {(TOP / "docs" / "README.md").resolve()}


def test_commands() -> None:
    synopses = [row[0] for row in rows(page("reference/cli.md"), "| synopsis")]

    assert {synopsis.split()[1].strip("`") for synopsis in synopses} == COMMANDS


@pytest.mark.parametrize("command", sorted(FOUND))
def test_options(command: str) -> None:
    """Each option of a command is in its synopsis, those aside that all share, and no other is."""
    found = FOUND[command]
    options = {max(parameter.opts, key=len) for parameter in found.params if parameter.opts[0].startswith("-")}
    options |= {option for parameter in found.params for option in parameter.secondary_opts}
    synopses = [row[0] for row in rows(page("reference/cli.md"), "| synopsis")]
    # A group that is no command by itself has none.
    synopsis = next((each for each in synopses if re.search(rf"stepmark {command}(?! [a-z])", each)), "")
    synopsis = synopsis.replace("[SELECT]", "--env --group --label --failed --only-step --only-kind")
    synopsis = synopsis.replace("[POLICY]", POLICY)

    assert set(re.findall(r"--[a-z-]+", synopsis)) == options - {"--json"}


def test_exit_statuses() -> None:
    assert {int(row[0]) for row in rows(page("reference/cli.md"), "| | |\n|---|---|\n| 0")} == {int(e) for e in Exit}


def test_settings() -> None:
    found = {row[0].strip("`"): row[1].strip("`") for row in rows(page("reference/settings.md"), "| variable")}

    assert found == {f"STEPMARK_{name.upper()}": default(name) for name in Settings.model_fields}


def default(name: str) -> str:
    value = Settings.model_fields[name].default
    value = value.get_secret_value() if name == "redis_url" else value
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def test_states() -> None:
    found = {row[0].strip("`"): CODE.findall(row[1]) for row in rows(page("reference/states.md"), "| state")}

    assert found == {state.value: [to.value for to in State if to in MOVES[state]] for state in State}


@pytest.mark.parametrize("workflow", ["provision", "configure", "register", "destroy", "drift-check"])
def test_steps(workflow: str) -> None:
    """Name, order, queue and limit."""
    text = page("reference/steps.md")
    table = text[text.index("| #", text.index(f"## {workflow}\n")) :]
    column = table.split("|").index(" queue, limit ") - 1
    found = [(int(row[0]), row[1].strip("`"), row[column]) for row in rows(table, "| #")]

    assert found == [
        (index, step.name, f"{step.queue.value}, {step.timeout_seconds:g}")
        for index, step in enumerate(WORKFLOWS[workflow].steps, 1)
    ]


def test_endings() -> None:
    assert first_words(page("reference/steps.md"), "| ending") == {ending.value for ending in Ending}


def test_kinds_causes_and_rules() -> None:
    text = page("reference/failures.md")
    found = {(*(cell.strip("`") for cell in row[:4]), row[4]) for row in rows(text, "| kind | cause")}

    assert first_words(text, "| kind | means") == {kind.value for kind in Kind}
    assert first_words(text, "| cause | how") == {cause.value for cause in Cause}
    assert found == {
        (kind.value, cause.value, "yes" if rule.retryable else "no", rule.status.value, rule.hint)
        for (cause, kind), rule in RULES.items()
    }


def test_what_to_do_is_said_of_every_kind() -> None:
    assert first_words(page("how-to/resume-after-a-failure.md"), "| kind") == {kind.value for kind in Kind}


def test_the_failure_context() -> None:
    assert first_words(page("reference/failures.md"), "| field") == set(FailureContext.model_fields)


def test_the_example_trace() -> None:
    text = page("reference/failures.md")
    example = text[text.index("```text\n") :]

    assert [name for name in FailureContext.model_fields if f"\n{name} " not in example] == [
        "completed_steps",
        "output_tail",
    ]


def test_keys() -> None:
    methods = {name for name, _ in inspect.getmembers(Keys, inspect.isfunction) if not name.startswith("_")}
    found = {row[1].strip("`"): row[0].strip("`") for row in rows(page("reference/redis.md"), "| key")}

    assert found == {name: key(name) for name in methods}


def test_every_key_has_a_bound() -> None:
    found = {word: row[1] for row in rows(page("reference/redis.md"), "| key | bound") for word in CODE.findall(row[0])}

    assert set(found) == {key(name) for name, _ in inspect.getmembers(Keys, inspect.isfunction) if name[0] != "_"}
    assert all(found.values())


def key(method: str) -> str:
    """The key as the page writes it: ID for what a run, a trace, a rollout or a task is called."""
    made = getattr(Keys("-"), method)
    ids = dict.fromkeys(("run", "trace", "rollout", "task"), "ID")
    arguments = {**ids, "name": "NAME", "provider": "PROVIDER", "at": "TIME"}
    return str(made(*(arguments[name] for name in inspect.signature(made).parameters))).removeprefix("-:")


def leaves(model: type[Model], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Model):
            yield from leaves(inner, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def section(heading: str) -> str:
    text = page("reference/fleet-file.md")
    return text[text.index(heading) :]


def test_sections_of_the_fleet_file() -> None:
    assert first_words(page("reference/fleet-file.md"), "| key") == set(SECTIONS)


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("## An environment", set(fleet.EnvironmentSpec.model_fields)),
        ("### `ssh`", set(fleet.Ssh.model_fields)),
        ("### `parameters`", set(leaves(Parameters))),
        ("## `schedules`", set(Schedule.model_fields)),
        ("## `rollout`", set(Policy.model_fields)),
        *((f"### `{name}`", set(model.model_fields) - {"name"}) for name, model in registry.models().items()),
    ],
)
def test_keys_of_the_fleet_file(heading: str, keys: set[str]) -> None:
    assert first_words(section(heading), "| key") == keys


def test_providers() -> None:
    providers = section("## Providers").partition("\n## ")[0]

    assert set(re.findall(r"^### `(\w+)`", providers, re.MULTILINE)) == set(registry.models())


def test_defaults_of_the_fleet_file() -> None:
    """Every default that is plain text, a number or a truth stands in its row."""
    wrong = []
    models: dict[str, type[Model]] = {"ssh": fleet.Ssh, **registry.models()}
    for title, model in models.items():
        heading = f"### `{title}`"
        table = {CODE.findall(row[0])[0]: row[1] for row in rows(section(heading), "| key")}
        for name, field in model.model_fields.items():
            value = field.default
            if name != "name" and isinstance(value, str | int):
                said = str(value).lower() if isinstance(value, bool) else str(value)
                wrong += [(heading, name)] if table[name] != f"`{said}`" else []

    assert wrong == []


def test_examples_of_fleet_files(tmp_path: Path) -> None:
    text = page("reference/fleet-file.md")
    example = re.findall(r"```yaml\n(environments|defaults)(.*?)```", text, re.DOTALL)[-1]
    file = tmp_path / "fleet.yaml"
    file.write_text("".join(example), encoding="utf-8")

    assert fleetcheck.check(fleet.load(file)) == ()
