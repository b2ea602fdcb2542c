"""Random situations that a cycle may find: fleets, and jobs in every stage of their lives."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from berth.core.cycle import Snapshot
from berth.core.model import Attempt, Cause, Gang, Job, Mode, Phase
from tests.builders import JobBuilder, a_job, a_pod
from tests.properties.dice import Dice
from tests.properties.fleets import LEVELS, NPU, Fleet, roll_fleet, roll_gang

NOW = 1_000
POOLS: tuple[tuple[str, ...], ...] = ((), (), ("h800",), ("a910", "h800"), ("h800", "gone"))
WANTING = ("waiting", "back-off over")
HINDRANCE = ("TemplateRefused", "spec.template.spec.containers[0].image: Required value: correct the template")


@dataclass(frozen=True)
class Situation:
    """Fleets and jobs. `stages`: each job's stage by its name; `touched`: numbers of the jobs that changed."""

    fleets: tuple[Fleet, ...]
    jobs: tuple[Job, ...]
    stages: Mapping[str, str]
    touched: tuple[int, ...] = ()
    seed: int = 0

    def snapshot(self, mode: Mode = Mode.ACTIVE) -> Snapshot:
        """A new snapshot of it, sharing nothing."""
        return Snapshot(self.jobs, {fleet.name: fleet.pool() for fleet in self.fleets}, mode)

    def queue(self) -> list[Job]:
        """Jobs that want devices, in their order."""
        wanting = [job for job in self.jobs if self.stages[job.key.name] in WANTING]
        return sorted(wanting, key=lambda job: (-job.priority, job.submitted, job.key))

    def with_used(self, used: Mapping[str, Mapping[str, int]]) -> "Situation":
        """The same with that much taken."""
        return replace(self, fleets=tuple(replace(fleet, used=used) for fleet in self.fleets))


def _staged(job: JobBuilder, stage: str) -> JobBuilder:
    """Bring a job into a stage of its life."""
    over = Attempt(1, 900, 960, Cause.OWN_FAILURE)
    replicas = job.built.gang.replicas
    name = job.built.key.name
    running = [a_pod(rank, job=name) for rank in range(replicas)]
    stages: dict[str, JobBuilder] = {
        "waiting": job,
        "back-off over": job.after(over, failures=1, retry_after=NOW),
        "backing off": job.after(over, failures=1, retry_after=NOW + 7),
        "suspended": job.but(suspended=True),
        "hindered": job.held_back(*HINDRANCE),
        "busy": job.but(busy=True),
        "deleting": job.but(deleting=True),
        "strays": job.after(over).with_pods(*running),
        "placed": job.placed(),
        "running": job.placed(created=True).with_pods(*reversed(running)),
        "failed": job.placed(created=True).with_pods(a_pod(0, Phase.FAILED, job=name, exit_code=1), *running[1:]),
        "robbed": job.placed(created=True).with_pods(*[replace(pod, deleting=True) for pod in running]),
        "stopping": job.placed().ending(Cause.PODS_LOST, "pod x vanished", NOW - 5).with_pods(*running),
        "stopped": job.placed().ending(Cause.SUSPENDED, "spec.suspend is true", NOW - 5),
        "finished": job.placed(created=True).ended(succeeded=True, at=NOW - 60).but(ttl=100),
        "outlived": job.placed(created=True).ended(succeeded=True, at=NOW - 60).but(ttl=60),
        "outlived, busy": job.placed().ended(succeeded=False, at=NOW - 60).but(ttl=60, busy=True),
    }
    return stages[stage]


STAGES = (
    *("waiting",) * 12,
    *("back-off over", "backing off", "suspended", "hindered", "busy", "deleting", "strays", "placed", "running"),
    *("failed", "robbed", "stopping", "stopped", "finished", "outlived", "outlived, busy"),
)


def roll_situation(dice: Dice) -> Situation:
    """Any situation: up to two pools, few shapes of gangs so that equals meet."""
    chosen = [roll_fleet(dice, least=2, most=8, whole_nodes=True)]
    if dice.flip():
        chosen.append(roll_fleet(dice, "a910", NPU, most=6))
    palette = [
        roll_gang(dice, POOLS, most=6, levels=dice.pick((chosen[0].levels, LEVELS))) for _ in range(dice.between(1, 3))
    ]
    jobs, stages = [], {}
    for number in range(dice.between(2, 7)):
        name = f"job-{number}"
        builder = a_job(name, dice.pick(palette)).but(priority=dice.below(3), submitted=dice.below(3))
        stages[name] = dice.pick(STAGES)
        jobs.append(_staged(builder, stages[name]).built)
    return Situation(
        fleets=tuple(chosen),
        jobs=tuple(jobs),
        stages=stages,
        touched=tuple(number for number in range(len(jobs)) if dice.flip()),
        seed=dice.below(10),
    )


def shape_of(gang: Gang) -> str:
    """A gang in a few words, for messages of failed laws."""
    level = f" {gang.policy} {gang.level}" if gang.level else ""
    return f"{gang.replicas} of {gang.devices}{level}"
