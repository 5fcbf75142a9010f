"""Callback plugin: what happened to each task, as lines of JSON. Runs inside Ansible and imports nothing of ours.

Each line is an object: `event` is play, task, ok, failed, unreachable, skipped or no-hosts; `name` the play's or the
task's; and where they apply `host`, `module`, `changed`, `ignored`, `msg`, `rc`, `stderr` (its last lines). What
`no_log` hides, Ansible has taken out of the result before it comes here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult as TaskResult
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

DOCUMENTATION = """
    name: stepmark_events
    type: aggregate
    short_description: writes what happens as lines of JSON
    description: Writes one JSON object a line to the file that STEPMARK_EVENTS names; does nothing without it.
"""

STDERR_LINES = 20
TEXT_LIMIT = 4000


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible publishes no types
    """Writes the events. A line is written whole and flushed, so a reader never waits for one."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "stepmark_events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        path = os.environ.get("STEPMARK_EVENTS")
        self._file = Path(path).open("a", encoding="utf-8") if path else None  # noqa: SIM115 - open until Ansible ends
        self.disabled = self._file is None

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """A play begins."""
        self._write("play", name=str(play.get_name()))

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's name for it
        """A task begins."""
        self._write("task", name=_name(task), module=str(task.action))

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """A handler begins."""
        self._write("task", name=_name(task), module=str(task.action))

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """The inventory has no host for the play."""
        self._write("no-hosts")

    def v2_runner_on_ok(self, result: TaskResult) -> None:
        """A task ended well."""
        self._write("ok", changed=bool(result._result.get("changed")), **_about(result))

    def v2_runner_on_failed(self, result: TaskResult, ignore_errors: bool = False) -> None:
        """A task failed."""
        self._write("failed", ignored=bool(ignore_errors), **_about(result), **_failure(result._result))

    def v2_runner_on_unreachable(self, result: TaskResult) -> None:
        """The host could not be reached."""
        ignored = bool(result._task.ignore_unreachable)
        self._write("unreachable", ignored=ignored, **_about(result), **_failure(result._result))

    def v2_runner_on_skipped(self, result: TaskResult) -> None:
        """A task's condition did not hold."""
        self._write("skipped", **_about(result))

    def _write(self, event: str, **fields: Any) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"event": event, **fields}) + "\n")
            self._file.flush()


def _name(task: Task) -> str:
    return str(task.get_name())


def _about(result: TaskResult) -> dict[str, Any]:
    task = result._task
    return {"host": str(result._host.get_name()), "name": _name(task), "module": str(task.action)}


def _failure(values: dict[str, Any]) -> dict[str, Any]:
    """What a failed result says; of a loop, what its first failed turn says."""
    turns = values.get("results")
    if isinstance(turns, list):
        values = next((turn for turn in turns if turn.get("failed") or turn.get("unreachable")), values)
    status = values.get("rc")
    return {
        "msg": str(values.get("msg") or values.get("censored") or "")[:TEXT_LIMIT],
        "rc": status if isinstance(status, int) else None,
        "stderr": "\n".join(str(values.get("stderr") or "").splitlines()[-STDERR_LINES:])[-TEXT_LIMIT:],
    }
