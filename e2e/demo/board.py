"""What the API server has said about the gangs so far, and the laws that must hold at every moment of it.

Fed by one watch of TrainingJobs, which tells changes in the order in which they happened. A placement is on record
before the first pod of its gang, and its end before anybody else gets the devices. So the devices that the statuses
give away can be added up after each event, and no node may ever have given more than it has: this is checked at every
event, not now and then.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from berth.api.folding import unfold
from e2e.demo.stage import Fabric
from e2e.demo.workload import Gang

Key = tuple[str, str]
RATE_S = 10.0
"""The rate of pods is told over so many seconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A TrainingJob as last seen. `nodes` by rank, empty unless placed; `spans` domains by level."""

    name: str
    replicas: int
    devices: int
    level: str | None
    state: str
    attempt: int
    nodes: tuple[str, ...]
    spans: Mapping[str, int]
    domain: str
    domain_level: str
    reason: str
    why: str
    finished: bool

    @property
    def holds(self) -> bool:
        """Whether it has devices now."""
        return bool(self.nodes) and not self.finished


def project(obj: dict[str, Any]) -> Seen:
    """Reduce a TrainingJob to what the demo shows."""
    spec, status = obj["spec"], obj.get("status") or {}
    placement, pending = status.get("placement") or {}, status.get("pending") or {}
    return Seen(
        name=obj["metadata"]["name"],
        replicas=spec["replicas"],
        devices=spec["devicesPerReplica"],
        level=(spec.get("topology") or {}).get("level"),
        state=status.get("state", "Pending"),
        attempt=status.get("attempt", 0),
        nodes=tuple(unfold(placement.get("nodes", ""))),
        spans=placement.get("spans", {}),
        domain=placement.get("domain", ""),
        domain_level=placement.get("level", ""),
        reason=pending.get("reason", ""),
        why=pending.get("message", ""),
        finished="finishedAt" in status,
    )


@dataclass(slots=True)
class Times:
    """When it happened to a gang, in seconds of the board's clock."""

    submitted: float
    placed: float | None = None
    running: float | None = None
    finished: float | None = None


@dataclass(slots=True)
class Board:
    """All gangs. `wrong` holds a sentence for each law that was seen broken."""

    fabric: Fabric
    clock: Callable[[], float] = time.monotonic
    jobs: dict[str, Seen] = field(default_factory=dict)
    times: dict[str, Times] = field(default_factory=dict)
    holders: dict[str, dict[str, int]] = field(default_factory=dict)
    """Devices taken, by node and gang."""
    wrong: list[str] = field(default_factory=list)
    started: float = 0.0
    changed: float = 0.0
    events: int = 0
    samples: int = 0
    """How often the pods were listed and checked."""
    missed: list[str] = field(default_factory=list)
    """Why samples could not be taken."""

    def __post_init__(self) -> None:
        self.started = self.changed = self.clock()

    # Submission

    def submitted(self, gang: Gang) -> None:
        """A gang is about to be submitted."""
        self.times[gang.name] = Times(self.clock())

    # Sink of the watch

    def replace(self, items: Mapping[Key, Seen], resource_version: str) -> None:
        """All gangs there are."""
        del resource_version
        for name in self.jobs.keys() - {name for _, name in items}:
            self.remove(("", name))
        for key, seen in items.items():
            self.upsert(key, seen)

    def upsert(self, key: Key, seen: Seen) -> None:
        """One gang, new or changed."""
        name, now = key[1], self.clock()
        before = self.jobs.get(name)
        self.jobs[name] = seen
        self.changed, self.events = now, self.events + 1
        self._note(seen, now)
        if before is None or (before.holds, before.nodes) != (seen.holds, seen.nodes):
            self._give_back(name)
            if seen.holds:
                self._give(seen)

    def remove(self, key: Key) -> None:
        """One gang is gone."""
        if self.jobs.pop(key[1], None) is not None:
            self._give_back(key[1])

    # Figures

    def waiting(self) -> list[Seen]:
        """Gangs without devices that have not ended, in order of submission."""
        return sorted((s for s in self.jobs.values() if not s.nodes and not s.finished), key=self._since)

    def holding(self) -> list[Seen]:
        """Gangs that have devices, the latest placed first."""
        placed = [s for s in self.jobs.values() if s.holds]
        return sorted(placed, key=lambda s: self.times[s.name].placed or 0.0, reverse=True)

    def count(self, what: str) -> int:
        """How many gangs have been `placed`, have been `running` or have `finished`."""
        return sum(getattr(times, what) is not None for times in self.times.values())

    def devices_held(self) -> int:
        """Devices that gangs hold now."""
        return sum(sum(taken.values()) for taken in self.holders.values())

    def pods_per_s(self) -> float:
        """Pods that came up, all of their gang being up, each second of the last ten."""
        now = self.clock()
        over = min(RATE_S, max(now - self.started, 1.0))
        up = sum(
            self.jobs[name].replicas
            for name, times in self.times.items()
            if times.running is not None and now - times.running < over and name in self.jobs
        )
        return up / over

    # Inside

    def _since(self, seen: Seen) -> tuple[float, str]:
        return self.times[seen.name].submitted, seen.name

    def _note(self, seen: Seen, now: float) -> None:
        times = self.times.setdefault(seen.name, Times(now))
        if seen.nodes and times.placed is None:
            times.placed = now
        if times.running is None and (seen.state == "Running" or seen.finished):
            times.running = now
        if seen.finished and times.finished is None:
            times.finished = now

    def _give(self, seen: Seen) -> None:
        if len(seen.nodes) != seen.replicas:
            self.wrong.append(f"{seen.name}: {len(seen.nodes)} of {seen.replicas} replicas have a place")
        if seen.level is not None and seen.spans.get(seen.level) != 1:
            text = f"{seen.name}: must stay in one {seen.level}, is in {seen.spans.get(seen.level)}"
            self.wrong.append(text)
        for node in seen.nodes:
            taken = self.holders.setdefault(node, {})
            taken[seen.name] = taken.get(seen.name, 0) + seen.devices
        has = self.fabric.pool.device.count
        for node in dict.fromkeys(seen.nodes):
            taken = self.holders[node]
            if sum(taken.values()) > has:
                told = ", ".join(f"{name} {devices}" for name, devices in taken.items())
                self.wrong.append(f"{node}: {has} devices were given to {told}")

    def _give_back(self, name: str) -> None:
        for node in [node for node, taken in self.holders.items() if name in taken]:
            del self.holders[node][name]
            if not self.holders[node]:
                del self.holders[node]
