"""A job's life to be crashed at every write: admitted, running, a node lost, started again, finished.

A life is driven by what the API server shows, never by what the operator says of itself, so it goes the same way
whether the operator was killed on the way or not. What is left at its end is put into one value that can be compared.
"""

import http.client
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from berth.api.names import LABEL_ATTEMPT
from e2e.ground import nodes, stages
from e2e.ground.api import ApiError
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import Scene, devices_held
from tests.integration.witness import Witness

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_STEP_S = 60.0


@dataclass(frozen=True, slots=True)
class End:
    """What a life leaves behind."""

    state: str
    attempt: int
    failures: int
    attempts: tuple[tuple[int, str], ...]
    """Every attempt that is over, with its cause."""
    kept: int
    """Replicas that sit in the second attempt where they sat in the first."""
    pods: tuple[tuple[str, str, int], ...]
    """Pods that are there: attempt, phase, how many."""
    services: tuple[str, ...]
    """What follows the job's name in those of the Services that are there."""
    twice: tuple[str, ...]
    """Nodes on which more devices were held than there are, at any moment of the life."""


class Life:
    """One life of one job of so many replicas on a scene with two spare nodes."""

    def __init__(self, scene: Scene, name: str, replicas: int) -> None:
        self._scene = scene
        self._name = name
        self._replicas = replicas

    def live(self, revive: Callable[[], None]) -> End:
        """Live it to the end. ``revive`` is called again and again: it starts an operator that was killed."""
        with self._scene.witness() as witness:
            return self._live(revive, witness)

    def _live(self, revive: Callable[[], None], witness: Witness) -> End:
        scene, name = self._scene, self._name
        scene.submit(name, replicas=self._replicas, startDeadline="10m")
        self._wait("Running", 1, revive)
        first = scene.placed(name)
        lost = first[1]
        nodes.taint(scene.api, lost, OUT_OF_SERVICE, effect="NoExecute", value="nodeshutdown")
        nodes.fail(scene.api, lost)
        try:
            self._wait("Running", 2, revive)
            second = scene.placed(name)
            self._finish_pods()
            self._wait("Succeeded", 2, revive)
            self._collect(f"{name}-1-1")
        finally:
            nodes.recover(scene.api, lost)
            nodes.untaint(scene.api, lost, OUT_OF_SERVICE)
        return self._end(sum(a == b for a, b in zip(first, second, strict=True)), revive, witness)

    def _wait(self, state: str, attempt: int, revive: Callable[[], None]) -> None:
        seen: dict[str, Any] = {}

        def there() -> bool:
            revive()
            seen.clear()
            seen.update(self._scene.status(self._name))
            return (seen.get("state"), seen.get("attempt")) == (state, attempt)

        until(there, lambda: f"{self._name} to be {state} in attempt {attempt}: {seen}", timeout_s=_STEP_S, poll_s=0.05)

    def _finish_pods(self) -> None:
        """Have every pod of the running attempt end well, as its trainer would."""
        scene = self._scene
        patch = {"metadata": {"annotations": {stages.RUN_SECONDS: "0"}}}
        names = list(scene.pods(self._name, attempt=2))
        scene.api.each(lambda pod: scene.api.patch(f"{scene.core}/pods/{pod}", patch), names)

    def _collect(self, pod: str) -> None:
        """What the pod garbage collector does for a node that is out of service, if it has not done it yet."""
        try:
            self._scene.api.delete(f"{self._scene.core}/pods/{pod}?gracePeriodSeconds=0")
        except ApiError as error:
            if error.status != http.client.NOT_FOUND:
                raise

    def _end(self, kept: int, revive: Callable[[], None], witness: Witness) -> End:
        """What is left once nothing changes any more: pods of earlier attempts have gone."""
        scene, name = self._scene, self._name

        def settled() -> bool:
            revive()
            services = [service["metadata"]["labels"][LABEL_ATTEMPT] for service in scene.services(name).values()]
            return not scene.pods(name, attempt=1) and "1" not in services

        until(settled, f"pods and Service of the first attempt of {name} to go", timeout_s=_STEP_S)
        status = scene.status(name)
        pods = scene.pods(name).values()
        assert devices_held(pods) == Counter()
        witness.catch_up()
        assert witness.seen > 4 * self._replicas, "every pod of both attempts was seen to come and go on"
        found = Counter((pod["metadata"]["labels"][LABEL_ATTEMPT], pod["status"]["phase"]) for pod in pods)
        return End(
            state=status["state"],
            attempt=status["attempt"],
            failures=status.get("failures", 0),
            attempts=tuple((attempt["attempt"], attempt["cause"]) for attempt in status["attempts"]),
            kept=kept,
            pods=tuple(sorted((attempt, phase, count) for (attempt, phase), count in found.items())),
            services=tuple(sorted(service.removeprefix(name) for service in scene.services(name))),
            twice=tuple(sorted(witness.twice)),
        )


def reviver(operator: OperatorProcess) -> Callable[[], None]:
    """Starts an operator that was killed, as its Deployment would."""

    def revive() -> None:
        if not operator.alive:
            operator.start()

    return revive
