"""What the chaos driver does to a world, one function a deed. Each says what it did; "" if there was nothing to do."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from tests.faults.chaos_world import Worker, World, kill
from tests.support import poll
from workers import chain
from workers.celery import app
from workers.runtime import Base
from workers.tracker import Place


@dataclass
class Scene:
    """What a deed has at hand. later: what has to be undone, and when, on the monotonic clock."""

    world: World
    base: Base
    random: random.Random
    later: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def undo(self, seconds: float, call: Callable[[], object]) -> str:
        """Have `call` called in so many seconds; in words."""
        self.later.append((time.monotonic() + seconds, call))
        return f"for {seconds:.1f} s"

    def worker(self) -> Worker | None:
        """A worker that lives and is not stopped."""
        able = [worker for worker in self.world.workers if worker.alive and not worker.stopped]
        return self.random.choice(able) if able else None

    def live_run(self) -> str | None:
        """A run that holds its environment."""
        runs = [record.run for record in self.base.store.environments() if record.run]
        return self.random.choice(runs) if runs else None


def _killed(scene: Scene, worker: Worker) -> str:
    pool = scene.random.random() < 0.5
    worker.signal(signal.SIGKILL, pool=pool)
    return f"SIGKILL {worker.name}{' and its pool' if pool else ''}"


def _stopped(scene: Scene, worker: Worker) -> str:
    pool = scene.random.random() < 0.7
    worker.signal(signal.SIGSTOP, pool=pool)
    worker.stopped = True

    def go_on() -> None:
        worker.stopped = False
        worker.signal(signal.SIGCONT, pool=True)

    return f"SIGSTOP {worker.name}{' and its pool' if pool else ''} {scene.undo(scene.random.uniform(0.5, 9), go_on)}"


def _told(scene: Scene, worker: Worker) -> str:
    worker.signal(signal.SIGTERM)
    if scene.random.random() < 0.5:
        return f"TERM {worker.name}"
    return f"TERM {worker.name}, again {scene.undo(0.7, lambda: worker.alive and worker.signal(signal.SIGTERM))}"


def _child_killed(scene: Scene, worker: Worker) -> str:
    children = worker.children()
    if not children:
        return ""
    kill(scene.random.choice(children), signal.SIGKILL)
    return f"SIGKILL a pool process of {worker.name}"


def _cut(scene: Scene, worker: Worker) -> str:
    worker.proxy.cut()
    return f"cut {worker.name} {scene.undo(scene.random.uniform(0.2, 7), worker.proxy.restore)}"


def _dropped(_: Scene, worker: Worker) -> str:
    worker.proxy.drop()
    return f"drop the connections of {worker.name}"


def _stalled(scene: Scene, worker: Worker) -> str:
    worker.proxy.stall()
    return f"stall {worker.name} {scene.undo(scene.random.uniform(0.2, 7), worker.proxy.restore)}"


def _slowed(scene: Scene, worker: Worker) -> str:
    worker.proxy.delay(0.15)
    return f"slow {worker.name} {scene.undo(scene.random.uniform(1, 4), worker.proxy.restore)}"


def _reply_lost(scene: Scene, worker: Worker) -> str:
    worker.proxy.lose_reply(lambda command: command[0].upper() == b"EVALSHA", scene.random.randint(1, 12))
    return f"lose a reply to {worker.name}"


def _tool_killed(scene: Scene) -> str:
    tools = [pid for pid, words in scene.world.tools().items() if "guard.py" not in words]
    if not tools:
        return ""
    kill(scene.random.choice(tools), signal.SIGKILL)
    return "SIGKILL a tool"


def _guard_killed(scene: Scene) -> str:
    """Its worker must be able to end the tool: worker and guard killed by one blow leave it, as is documented."""
    if any(worker.stopped or not worker.alive for worker in scene.world.workers):
        return ""
    guards = [pid for pid, words in scene.world.tools().items() if "guard.py" in words]
    if not guards or scene.world.strays():
        return ""
    victim = scene.random.choice(guards)
    kill(victim, signal.SIGKILL)
    poll(lambda: victim not in scene.world.tools(), seconds=20)
    time.sleep(0.2)  # for its worker to end the tool
    return "SIGKILL a guard"


def _redis_killed(scene: Scene) -> str:
    scene.world.redis.kill()
    seconds = scene.random.uniform(0.1, 4)
    time.sleep(seconds)
    scene.world.redis.start()
    return f"SIGKILL Redis for {seconds:.1f} s"


def _cancelled(scene: Scene) -> str:
    run = scene.live_run()
    if run is None:
        return ""
    answer = scene.base.tracker.cancel(scene.base.store.run(run), "chaos", "at random")
    return f"cancel {run}: {' '.join(answer)}"


def _paused(scene: Scene) -> str:
    key = scene.base.keys.paused()
    scene.base.client.set(key, json.dumps({"by": "chaos", "reason": "at random", "at": time.time()}))
    return f"pause {scene.undo(scene.random.uniform(0.5, 3), lambda: scene.base.client.delete(key))}"


def _doubled(scene: Scene) -> str:
    run = scene.live_run()
    if run is None:
        return ""
    record = scene.base.store.run(run)
    place = Place(
        run, record.token, record.epoch, record.delivery, record.environment, record.workflow, record.index or 1
    )
    chain.send(app, place)
    return f"send {run} once more"


def _message_lost(scene: Scene) -> str:
    lost = [queue for queue in ("tools", "wait") if scene.base.client.rpop(scene.base.keys.queue(queue))]
    return f"lose a message of {' and '.join(lost)}" if lost else ""


_TO_WORKERS: Mapping[Callable[[Scene, Worker], str], int] = {
    _killed: 4,
    _stopped: 4,
    _told: 3,
    _child_killed: 4,
    _cut: 3,
    _dropped: 3,
    _stalled: 3,
    _slowed: 1,
    _reply_lost: 6,
}
_TO_ALL: Mapping[Callable[[Scene], str], int] = {
    _tool_killed: 4,
    _guard_killed: 3,
    _redis_killed: 1,
    _cancelled: 4,
    _paused: 1,
    _doubled: 4,
    _message_lost: 4,
}


def one(scene: Scene) -> str:
    """Do something, by the draw."""
    weights = [*_TO_WORKERS.values(), *_TO_ALL.values()]
    deed = scene.random.choices([*_TO_WORKERS, *_TO_ALL], weights)[0]
    if deed in _TO_ALL:
        return deed(scene)  # type: ignore[call-arg]
    worker = scene.worker()
    return deed(scene, worker) if worker else ""  # type: ignore[call-arg]


def undo(scene: Scene, *, all_of_it: bool = False) -> None:
    """Undo what has lasted long enough."""
    now = time.monotonic()
    for item in [item for item in scene.later if all_of_it or item[0] <= now]:
        scene.later.remove(item)
        with suppress(ProcessLookupError):
            item[1]()
