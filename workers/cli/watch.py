"""Watch: follows runs by the news of all runs, until none of them goes on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence

from tasks.failure import RunStatus
from workers.cli import outlook
from workers.cli.news import BLOCK_SECONDS, Feed, News
from workers.cli.words import Run
from workers.overview import Overview, Overviews
from workers.runtime import Base

_ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)
_READ_AGAIN_SECONDS = 2.0
# So many are read again at once: what is shown does not wait for the rest.
_PAGE = 500


class Watch:
    """The runs of some environments, one each: when a run hands over to its next one, that one is followed.

    It reads rows of the overview, and only of what has changed: thousands of runs can be followed at once. The others
    are read again by turns, so that what was missed of the news is made up for.

    runs: by environment, as last seen. gone: runs that Redis has forgotten. outlook, feed: as last read.
    """

    def __init__(self, base: Base, runs: Mapping[str, str], after: str) -> None:
        self.runs: dict[str, Run] = {}
        self.gone: set[str] = set()
        self.feed = Feed(base, after)
        self._base = base
        self._overviews = Overviews(base.client, base.keys)
        self._followed = dict(runs)
        self._environments = {run: name for name, run in runs.items()}
        self._going = dict.fromkeys(runs)
        self._told: dict[str, str] = {}
        self._turns = itertools.cycle(tuple(runs))
        self._look(tuple(runs))

    @property
    def over(self) -> bool:
        """Whether none of the runs goes on, as far as Redis still knows them."""
        return not self._going

    @property
    def at(self) -> float:
        """The time by Redis, in Unix seconds."""
        return self._looked_at + time.monotonic() - self._read_at

    @property
    def waiting(self) -> tuple[str, ...]:
        """The environments whose runs go on, if all of them wait for a worker; none if one of them has a worker."""
        going = tuple(self._going)
        return going if all(self.runs[name].status == RunStatus.QUEUED for name in going) else ()

    def poll(self, seconds: float = BLOCK_SECONDS) -> list[News]:
        """What happened to the runs since; waits so long if it was nothing. `runs` are read again as needed.

        Raises:
            redis.RedisError: Redis has not answered for a minute, or refuses.
        """
        return self.feed.patiently(lambda: self._poll(seconds), [])

    def _poll(self, seconds: float) -> list[News]:
        news = [fields for fields in self.feed.read(seconds) if self._heard(fields)]
        changed = {fields["environment"]: None for fields in news}
        if time.monotonic() - self._read_at > _READ_AGAIN_SECONDS:
            changed |= self._next_turn()
            self._look(tuple(changed))
        elif changed:
            self._read(tuple(changed))
        return news

    def _heard(self, fields: News) -> bool:
        """Whether it happened to one of the runs; what it says is kept for the display."""
        if fields["run"] not in self._environments:
            return False
        if fields.get("next"):
            self._environments[fields["next"]] = fields["environment"]
        said = fields.get("summary", fields.get("note"))
        if said is not None:
            self._told[fields["environment"]] = said
        return True

    def _next_turn(self) -> dict[str, None]:
        """The environments whose turn it is to be read again."""
        turn = itertools.islice(self._turns, min(_PAGE, len(self._followed)))
        return {name: None for name in turn if name in self._going}

    def _look(self, names: Sequence[str]) -> None:
        """Read these, and those whose worker was lost since."""
        found = self._read(names)
        self._read_at, self._looked_at = time.monotonic(), found.at
        self.outlook = outlook.of(found, self._base.settings)
        lapsed = {self._environments.get(execution.partition(".")[0]) for execution in found.lapsed}
        lost = tuple(name for name in lapsed if name in self._going and name not in names)
        if lost:
            self._read(lost)

    def _read(self, names: Sequence[str]) -> Overview:
        found = self._overviews.read(names if 0 < len(names) <= _PAGE else ())
        rows = {row.environment: row for row in found.rows}
        for name in names:
            seen = found.sight(rows[name], self._told.get(name, "")) if name in rows else None
            if seen and self._is_followed(name, seen.run):
                self._see(name, seen)
            else:
                self._read_run(name)
        return found

    def _is_followed(self, name: str, run: str) -> bool:
        """Whether this is the run that is followed in the environment, or the one that it has handed over to."""
        before = self.runs.get(name)
        if before and run == before.next:
            self._followed[name] = run
        return run == self._followed[name]

    def _read_run(self, name: str) -> None:
        """The run that is followed in an environment where another one goes on by now, or that Redis has forgotten."""
        run, before = self._followed[name], self.runs.get(name)
        found = self._base.store.runs([run]).get(run)
        if found is None:
            self._going.pop(name, None)
            if before is None or before.next != run:
                self.gone.add(run)
            return
        self._see(name, found)
        if found.next and found.status == RunStatus.SUCCEEDED:
            self._followed[name] = found.next
            self._read_run(name)

    def _see(self, name: str, run: Run) -> None:
        self.runs[name] = run
        self._environments |= dict.fromkeys(filter(None, (run.run, run.next)), name)
        if self._ended(run):
            self._going.pop(name, None)
        else:
            self._going[name] = None

    def _ended(self, run: Run) -> bool:
        """Whether it has ended, or was lost for so long that it may be resumed."""
        if run.display == RunStatus.LOST and run.lease_until is not None:
            settings = self._base.settings
            return run.read_at > run.free_at(settings.takeover_seconds) + 2 * settings.lease_seconds
        return run.status in _ENDED
