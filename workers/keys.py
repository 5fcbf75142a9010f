"""Every Redis key: its type, content, writer and lifetime. All begin with the prefix of the settings."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.identity import SCHEMA


@dataclass(frozen=True)
class Keys:
    """The keys under one prefix. `docs/explanation/runs-in-redis.md` says what the scripts do with them."""

    prefix: str

    def environments(self) -> str:
        """Set: names of all environments. Written by launch; for ever."""
        return f"{self.prefix}:environments"

    def environment(self, name: str) -> str:
        """Hash: name, revision, state, partial, times, spec, runs, held_until. By the scripts; until forgotten."""
        return f"{self.prefix}:env:{name}"

    def overview(self) -> str:
        """Hash: a field an environment, all that a look at the fleet shows of it. By the scripts; until forgotten."""
        return f"{self.prefix}:overview"

    def facts(self, name: str) -> str:
        """Hash: a field a fact, its JSON. Written by end, adopt; until forgotten, or destroyed and launched again."""
        return f"{self.prefix}:facts:{name}"

    def run(self, run: str) -> str:
        """Hash: a run's identity, place and past. Written by the scripts; for the retention after its end."""
        return f"{self.prefix}:run:{run}"

    def run_events(self, run: str) -> str:
        """Stream: the run's history, about 1,000 entries. Written by the scripts; as long as the run."""
        return f"{self.prefix}:run:{run}:events"

    def runs(self, name: str) -> str:
        """Sorted set: an environment's runs, by time of launch. Written by launch; as long as the environment."""
        return f"{self.prefix}:runs:{name}"

    def checks(self, name: str) -> str:
        """Sorted set: an environment's last 3 looks for drift, by time of launch. By launch; until forgotten."""
        return f"{self.prefix}:checks:{name}"

    def events(self) -> str:
        """Stream: the news of all runs, about 10,000 entries. Written by the scripts; for ever."""
        return f"{self.prefix}:events"

    def due(self) -> str:
        """Sorted set: runs with a step due and not started, since when. Written by the scripts; for ever."""
        return f"{self.prefix}:due"

    def leases(self) -> str:
        """Sorted set: executions that run, when their lease lapses. Written by the scripts and the reaper; for ever."""
        return f"{self.prefix}:leases"

    def retries(self) -> str:
        """Sorted set: runs that wait to try a step again, from when on. Written by the scripts; for ever."""
        return f"{self.prefix}:retries"

    def cancels(self) -> str:
        """Hash: live runs that are to be cancelled; by, reason, at as JSON. Written by the scripts; for ever."""
        return f"{self.prefix}:cancels"

    def deadlines(self) -> str:
        """Sorted set: live runs that have a deadline, when it is. Written by the scripts; for ever."""
        return f"{self.prefix}:deadlines"

    def paused(self) -> str:
        """String: by, reason, at as JSON: no step starts. Written by `stepmark pause`; until `stepmark unpause`."""
        return f"{self.prefix}:paused"

    def reaper(self) -> str:
        """String: the lock of the one reaper that works for this schema. Written by it; for a few seconds."""
        return f"{self.prefix}:reaper:{SCHEMA}"

    def server(self) -> str:
        """Hash: Redis's own run_id; back_at, since when; since, of a quiet lease; seen. Scripts, reaper; for ever."""
        return f"{self.prefix}:server"

    def queues(self) -> str:
        """Hash: `sent:Q`, `seen:Q`, numbers of steps made due, started; `seen_at:Q`, due since. Scripts; for ever."""
        return f"{self.prefix}:queues"

    def queue(self, name: str) -> str:
        """List: a queue's messages. Celery, whose other keys and channels begin alike, and end; until taken."""
        return f"{self.prefix}:broker:{name}"

    def workers(self) -> str:
        """Sorted set: names of workers, when each was last heard of. Written by beat, leave; for ever."""
        return f"{self.prefix}:workers"

    def worker(self, name: str) -> str:
        """Hash: what a worker says of itself; order, drain. Written by beat, drain; an hour from the last beat."""
        return f"{self.prefix}:worker:{name}"

    def schedules(self) -> str:
        """Set: names of the schedules that were applied. Written by `stepmark schedule`; for ever."""
        return f"{self.prefix}:schedules"

    def schedule(self, name: str) -> str:
        """Hash: a schedule, what is declared of what it selects, its policy, its pause, its rollout. Until removed."""
        return f"{self.prefix}:schedule:{name}"

    def schedule_firings(self, name: str) -> str:
        """List: a schedule's last 50 firings, the newest first, JSON. Written by firings; until it is removed."""
        return f"{self.prefix}:schedule:{name}:firings"

    def schedule_lock(self, name: str) -> str:
        """String: the lock of whoever deals with a firing of the schedule. By firings; while that goes on."""
        return f"{self.prefix}:schedule:{name}:lock"

    def firings(self) -> str:
        """Sorted set: firings not done yet, `NAME AT BY`, when they are sent again. By beat, firings; for ever."""
        return f"{self.prefix}:firings"

    def firing(self, name: str, at: str) -> str:
        """String: the firing of that time has been dealt with. By firings; while it may be delivered again."""
        return f"{self.prefix}:firing:{name}:{at}"

    def job(self, task: str) -> str:
        """String: the Celery task that a firing has sent has been taken. By the job; for a week."""
        return f"{self.prefix}:job:{task}"

    def beat_entry(self, name: str) -> str:
        """Hash: RedBeat's entry of a schedule: definition, meta. By beat and `stepmark schedule`; until removed."""
        return f"{self.prefix}:beat:{name}"

    def beat_due(self) -> str:
        """Sorted set: RedBeat's entries, when they are due. By beat and `stepmark schedule`; for ever."""
        return f"{self.prefix}:beat::schedule"

    def beat_lock(self) -> str:
        """String: which beat fires the schedules. Written by it; as long as it lives, and some seconds."""
        return f"{self.prefix}:beat::lock"

    def gone(self) -> str:
        """Hash: a field an environment that was forgotten or renamed, JSON: who, when, why. By both; the retention."""
        return f"{self.prefix}:gone"

    def rollouts(self) -> str:
        """Sorted set: ids of rollouts, by when they began; those that ended, for the retention. By begin; for ever."""
        return f"{self.prefix}:rollouts"

    def live_rollouts(self) -> str:
        """Set: ids of the rollouts that have not ended. Written by begin and rollout; for ever."""
        return f"{self.prefix}:rollouts:live"

    def rollout(self, rollout: str) -> str:
        """Hash: what a rollout is to do, by which policy, and its counts. By begin, launch, rollout; the retention."""
        return f"{self.prefix}:rollout:{rollout}"

    def rollout_pending(self, rollout: str, provider: str) -> str:
        """Sorted set: environments of a provider not yet started, by place. Begin, launch, rollout; until its end."""
        return f"{self.prefix}:rollout:{rollout}:pending:{provider}"

    def rollout_specs(self, rollout: str) -> str:
        """Hash: What is declared of each environment not yet started, JSON. Begin, launch, rollout; until its end."""
        return f"{self.prefix}:rollout:{rollout}:specs"

    def rollout_slots(self, rollout: str) -> str:
        """Hash: environments whose run goes on, and that run. Written by launch, rollout; until its end."""
        return f"{self.prefix}:rollout:{rollout}:slots"

    def rollout_outcomes(self, rollout: str) -> str:
        """Hash: environments that ended or were left out, JSON of how. Written by rollout; as the rollout."""
        return f"{self.prefix}:rollout:{rollout}:outcomes"

    def rollout_events(self, rollout: str) -> str:
        """Stream: what happened to a rollout, about 1,000 entries. Written by rollout; as the rollout."""
        return f"{self.prefix}:rollout:{rollout}:events"

    def log(self, run: str) -> str:
        """Stream: what the run's programs printed: step, attempt, text. Written by the worker; for the retention."""
        return f"{self.prefix}:log:{run}"

    def trace(self, trace: str) -> str:
        """String: a trace as JSON. Written by the error callback; for the retention."""
        return f"{self.prefix}:trace:{trace}"

    def traces(self, name: str) -> str:
        """Sorted set: an environment's traces, by time. Written by the error callback; as long as the environment."""
        return f"{self.prefix}:traces:{name}"

    def workspace(self, name: str) -> str:
        """Hash: digest; archive, encrypted. Written by keep; until the workspace is cleaned."""
        return f"{self.prefix}:workspace:{name}"

    def tofu_state(self, name: str) -> str:
        """Hash: state, encrypted; lock, JSON; owner, `RUN.EPOCH`. By save, lock, unlock, settle; until forgotten."""
        return f"{self.prefix}:tofu:{name}"

    def tofu_orphans(self, name: str) -> str:
        """Hash: states that came without the lock, by digest: at, owner, state, encrypted. By save; until settled."""
        return f"{self.prefix}:tofu:{name}:orphans"

    def tofu_settled(self, name: str) -> str:
        """Hash: the states that were put aside, as the orphans. Written by settle; the retention, from the last one."""
        return f"{self.prefix}:tofu:{name}:settled"

    def tofu_audit(self, name: str) -> str:
        """Stream: what was done to the state by hand; about 1,000. By settle, unlock; the retention once forgotten."""
        return f"{self.prefix}:tofu:{name}:audit"


def moved(keys: Keys, run: str, environment: str) -> tuple[str, ...]:
    """The keys of every script that moves a run, in their order."""
    return (
        *(keys.run(run), keys.run_events(run), keys.environment(environment), keys.facts(environment)),
        *(keys.due(), keys.leases(), keys.queues(), keys.events()),
        *(keys.retries(), keys.cancels(), keys.deadlines(), keys.paused()),
    )
