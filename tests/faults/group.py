"""One group of cells in a process of its own: `python -m tests.faults.group FOLDER < cells`; what was seen, as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tasks import workflows
from tasks.failure import RunStatus
from tests.faults import cells, strikes
from tests.faults import site as sites
from tests.faults.catalogue import FAULTS
from tests.faults.cells import Cell
from tests.faults.fault import ALONE, Driver
from tests.faults.site import Site
from tests.faults.trial import Said, Seen, Trial
from tests.support import poll
from workers import chain, launch
from workers.launch import Launcher

MOST_SECONDS = 120.0
LOOK_SECONDS = 0.05
SLOTS = 24
# Of the shared faults. Fewer than slots, for some take two; and few enough for two cores to keep the times true.
MOST_AT_ONCE = 12
_NAMES = {fault.name: fault for fault in FAULTS}


def main() -> None:
    """Read cells as [[workflow, index, fault], …]; write what was seen."""
    chosen = [Cell(workflow, index, _NAMES[fault]) for workflow, index, fault in json.load(sys.stdin)]
    with sites.opened(Path(sys.argv[1]), chosen[0].fault.lease_seconds) as site:
        seen = Group(site, chosen).run()
    sys.stdout.buffer.write(TypeAdapter(list[Seen]).dump_json(seen))


class Group:
    """Cells that share workers and a Redis."""

    def __init__(self, site: Site, chosen: Sequence[Cell]) -> None:
        self._site = site
        self._trials = [Trial.of(cell, site.folder) for cell in chosen]
        self._alone = chosen[0].fault.driver in ALONE
        self._launcher = Launcher(site.base, site.app)
        self._waiting = sorted(self._trials, key=lambda trial: -(trial.cell.fault.timeout_seconds or 0))
        self._running: list[Trial] = []

    def run(self) -> list[Seen]:
        """All of them, to their end."""
        self._start_workers()
        self._prepare()
        self._revoke_before_sending()
        while self._waiting or self._running:
            self._begin_some()
            self._look()
            self._strike_some()
            self._running = [trial for trial in self._running if not self._over(trial)]
            time.sleep(LOOK_SECONDS)
        if self._alone:
            strikes.undo(self._site, self._trials[0].cell.fault.driver)
        time.sleep(1.0)
        logs = remote_logs(trial.cell.environment for trial in self._trials)
        return [self._seen(trial, logs) for trial in self._trials]

    def _start_workers(self) -> None:
        slots = 2 * len(self._trials) if self._alone else SLOTS
        self._site.start_worker("victim", slots)
        if self._alone and self._trials[0].cell.fault.driver is not Driver.KILL_REDIS:
            self._site.start_worker("rescuer", min(slots, SLOTS), queues=("spare",))

    def _prepare(self) -> None:
        """Bring the environments to where their workflows may begin, side by side."""
        ways = {trial: cells.route(workflows.WORKFLOWS[trial.cell.workflow]) for trial in self._trials}
        for number in range(max(map(len, ways.values()))):
            names = [(trial, way[number]) for trial, way in ways.items() if number < len(way)]
            runs = [trial.launch(self._launcher, name).run for trial, name in names]
            poll(lambda runs=runs: self._succeeded(runs), seconds=300, every=0.2)

    def _succeeded(self, runs: list[str]) -> bool:
        return all(run.status is RunStatus.SUCCEEDED for run in self._site.base.store.runs(runs).values())

    def _revoke_before_sending(self) -> None:
        """A message that is to be revoked while it waits is revoked before it is sent: it waits for moments only."""
        send = chain.send
        revoked = {trial.cell.environment: trial for trial in self._trials if trial.cell.fault.driver is Driver.REVOKE}

        def revoke_and_send(app: Any, place: Any) -> None:
            trial = revoked.get(place.environment)
            if trial and place.workflow == trial.cell.workflow and place.epoch == 1:
                trial.place = place
                app.control.revoke(strikes.task_id(trial), destination=["victim@faults"], reply=True, timeout=10)
                trial.sent_at = time.time()
            send(app, place)

        launch.chain.send = revoke_and_send

    def _begin_some(self) -> None:
        if self._alone and self._waiting:
            self._begin_together()
        while self._waiting and len(self._running) < MOST_AT_ONCE:
            self._begin(self._waiting.pop(0))

    def _begin_together(self) -> None:
        """Begin all, so that they come to the point of their plan at one time: those with a step before wait there."""
        first = [trial for trial in self._waiting if trial.cell.index == 1]
        later = [trial for trial in self._waiting if trial.cell.index > 1]
        self._waiting = []
        for trial in later:
            self._begin(trial)
        poll(lambda: all(trial.marks.reached("gate") or trial.problem for trial in later), seconds=MOST_SECONDS)
        for trial in first:
            self._begin(trial)
        for trial in later:
            trial.marks.open("open")

    def _begin(self, trial: Trial) -> None:
        self._running.append(trial)
        try:
            trial.begin(self._site, self._launcher)
        except Exception as error:  # noqa: BLE001 - this cell is wrong, and the others go on
            trial.problem = f"it did not begin: {type(error).__name__}: {error}"

    def _look(self) -> None:
        trials = {trial.place.run: trial for trial in self._running if trial.place}
        records = self._site.base.store.runs(trials)
        for run, record in records.items():
            trials[run].look(record, list(self._site.base.store.events(run)))

    def _strike_some(self) -> None:
        ready = [
            trial
            for trial in self._running
            if trial.struck_at is None and trial.cell.fault.driver in strikes.STRIKES and trial.ready()
        ]
        if self._alone and len(ready) < len(self._running):
            return
        for one in [ready] if self._alone and ready else [[trial] for trial in ready]:
            try:
                strikes.strike(self._site, one)
            except Exception as error:  # noqa: BLE001 - the same
                for trial in one:
                    trial.problem = f"it was not struck: {type(error).__name__}: {error}"

    def _over(self, trial: Trial) -> bool:
        if time.monotonic() - trial.begun_at > MOST_SECONDS:
            trial.problem = trial.problem or f"it did not end within {MOST_SECONDS:g} s"
        return trial.ended or bool(trial.problem)

    def _seen(self, trial: Trial, logs: dict[str, list[str]]) -> Seen:
        store, name = self._site.base.store, trial.cell.environment
        if trial.place is None:
            return Seen(environment=name, problem=trial.problem or "it was not launched")
        record, environment = store.run(trial.place.run), store.environment(name)
        local = trial.marks.log.read_text().splitlines() if trial.marks.log.exists() else []
        traces = [store.trace(trace) for trace in store.traces(name)]
        return Seen(
            environment=name,
            status=record.status,
            state=environment.state,
            live=environment.run,
            said=tuple(_said(each["context"]) for each in traces if each),
            failure=_said(record.failure.model_dump()) if record.failure else None,
            events=tuple(dict(each) for each in store.events(record.run)),
            log=(*local, *logs.get(name, ())),
            struck_at=trial.struck_at,
            known_at=trial.known_at,
            left=self._left(record.run),
            problem=trial.problem,
        )

    def _left(self, run: str) -> tuple[str, ...]:
        """What Redis still holds of a run that has ended, beside its history."""
        keys, client = self._site.base.keys, self._site.base.client
        sets = (keys.due(), keys.leases(), keys.retries(), keys.deadlines())
        found = [f"{key}: {member}" for key in sets for member in client.zrange(key, 0, -1) if member.startswith(run)]
        return (*found, *([f"{keys.cancels()}: {run}"] if client.hexists(keys.cancels(), run) else []))


def _said(context: dict[str, Any]) -> Said:
    return Said(
        step=context["failed_step"],
        index=context["step_index"],
        kind=context["error_kind"],
        cause=context["cause"],
    )


def remote_logs(environments: Iterable[str]) -> dict[str, list[str]]:
    """What the programs wrote on the host, by environment."""
    host = json.loads(os.environ["FAULTS_HOST"])
    names = " ".join(f"{name}.log" for name in environments)
    options = ("-F", "none", "-o", f"UserKnownHostsFile={host['known_hosts']}", "-o", "BatchMode=yes")
    login = ("-o", "HostKeyAlias=host", "-i", host["key"], "-p", str(host["port"]), f"root@{host['address']}")
    command = f"cd /root/faults && for log in {names}; do [ ! -e $log ] || sed s,^,$log\\ , $log; done"
    done = subprocess.run(("ssh", *options, *login, command), capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, rest = line.partition(" ")
        found.setdefault(name.removesuffix(".log"), []).append(rest)
    return found


if __name__ == "__main__":
    main()
