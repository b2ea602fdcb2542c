"""The mirror keeps its laws under streams as an API server really sends them, and no planted bug does."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from berth.api.job import TrainingJob
from berth.cluster.claims import Claim
from berth.cluster.mirror import Key, Mirror
from berth.cluster.project import ForeignPod, OwnPod
from berth.core.model import JobKey, Record
from tests.properties.law import tries
from tests.properties.mirror_stream import KINDS, Stream, seen, version

Moves = list[tuple[str, int, int]]
Law = Callable[[Callable[[], Mirror], Moves], None]


def what_is_taken_is_what_is_believed_and_each_device_once(make: Callable[[], Mirror], moves: Moves) -> None:
    stream = Stream(make)
    for move in moves:
        stream.play(*move)
        assert stream.belief.taken() == stream.taken(), f"after {move}"


def nothing_older_takes_the_place_of_something_newer(make: Callable[[], Mirror], moves: Moves) -> None:
    stream = Stream(make)
    for move in moves:
        stream.play(*move)
        known = {key: (life.uid, version(life, number)) for key, (life, number) in stream.belief.known.items()}
        assert known == {key: (entry.uid, entry.version) for key, entry in stream.mirror.jobs.items()}, f"after {move}"
        assert stream.belief.pods() == dict(stream.mirror.own_pods()), f"after {move}"


def once_everything_has_arrived_it_is_as_if_just_started(make: Callable[[], Mirror], moves: Moves) -> None:
    stream = Stream(make)
    for move in moves:
        stream.play(*move)
    stream.let_all_arrive()
    assert seen(stream.fresh()) == seen(stream.mirror)


LAWS: tuple[Law, ...] = (
    what_is_taken_is_what_is_believed_and_each_device_once,
    nothing_older_takes_the_place_of_something_newer,
    once_everything_has_arrived_it_is_as_if_just_started,
)


def uphold(law: Law, make: Callable[[], Mirror], tries: int) -> None:
    """Try a law on streams, always the same ones."""

    @settings(
        max_examples=tries,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=210, max_size=210))
    def every(drawn: bytes) -> None:
        triples = zip(drawn[::3], drawn[1::3], drawn[2::3], strict=False)
        law(make, [(KINDS[kind % len(KINDS)], first, second) for kind, first, second in triples])

    every()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_mirror_keeps_its_laws(law: Law) -> None:
    """Whatever arrives, in whatever order."""
    uphold(law, Mirror, tries=tries(150))


class BringsBack(Mirror):
    """A planted bug: what is gone may come back with an answer."""

    def _bury(self, uid: str) -> None:
        del uid


class TakesOlder(Mirror):
    """A planted bug: the last event counts, not the newest state."""

    def put_job(self, manifest: TrainingJob) -> None:
        for entry in self.jobs.values():
            entry.version = 0
        super().put_job(manifest)


class CountsTwice(Mirror):
    """A planted bug: pods count beside their placement."""

    def _claim_pod(self, own: OwnPod) -> None:
        if own.pod.node and not own.pod.ended:
            self.pools.claim(own.pod.node, own.pod.uid, Claim(own.requests))


class MissesStrays(Mirror):
    """A planted bug: pods of an older attempt count as if the placement did it."""

    def _claim_pod(self, own: OwnPod) -> None:
        super()._claim_pod(own)
        if self._owner(own) is not None:
            self.pools.release(own.pod.node, own.pod.uid)


class WaitsForAnswers(Mirror):
    """A planted bug: a decision counts only once it has been confirmed."""

    def assume(self, key: JobKey, record: Record) -> None:
        self.jobs[key].busy = True
        del record


class GivesBackEarly(Mirror):
    """A planted bug: devices are free as soon as an end was decided, before it is on record."""

    def assume(self, key: JobKey, record: Record) -> None:
        super().assume(key, record)
        if record.holds is None:
            self.jobs[key].record = record
            self._job_changed(self.jobs[key])


class TrustsAnswers(Mirror):
    """A planted bug: an answer counts though the watch has passed it."""

    def answer_own_pod(self, key: Key, own: OwnPod) -> None:
        self._take_own_pod(key, own)


class DropsByName(Mirror):
    """A planted bug: the end of a pod is the end of any pod of that name."""

    def drop_own_pod(self, key: Key) -> None:
        own = self._own.get(key)
        if own is not None:
            self._forget_own_pod(key, own)


class LetsGoEarly(Mirror):
    """A planted bug: a job that goes gives its devices back though pods are still being made."""

    def drop_job(self, key: JobKey, uid: str) -> None:
        if key in self.jobs:
            self.jobs[key].busy = False
        super().drop_job(key, uid)


class OneNameForAll(Mirror):
    """A planted bug: a foreign pod claims under its uid, as it did when it was Berth's."""

    def put_foreign_pod(self, key: Key, pod: ForeignPod) -> None:
        self.drop_foreign_pod(key)
        self._foreign[key] = pod
        self.pools.claim(pod.node, pod.uid, Claim(pod.requests))

    def drop_foreign_pod(self, key: Key) -> None:
        known = self._foreign.pop(key, None)
        if known is not None:
            self.pools.release(known.node, known.uid)


@pytest.mark.parametrize(
    ("law", "bug"),
    [
        (what_is_taken_is_what_is_believed_and_each_device_once, CountsTwice),
        (what_is_taken_is_what_is_believed_and_each_device_once, MissesStrays),
        (what_is_taken_is_what_is_believed_and_each_device_once, WaitsForAnswers),
        (what_is_taken_is_what_is_believed_and_each_device_once, LetsGoEarly),
        (what_is_taken_is_what_is_believed_and_each_device_once, GivesBackEarly),
        (what_is_taken_is_what_is_believed_and_each_device_once, OneNameForAll),
        (nothing_older_takes_the_place_of_something_newer, TakesOlder),
        (nothing_older_takes_the_place_of_something_newer, BringsBack),
        (nothing_older_takes_the_place_of_something_newer, TrustsAnswers),
        (nothing_older_takes_the_place_of_something_newer, DropsByName),
        (once_everything_has_arrived_it_is_as_if_just_started, CountsTwice),
        (once_everything_has_arrived_it_is_as_if_just_started, TrustsAnswers),
    ],
)
def test_a_planted_bug_is_caught(law: Law, bug: type[Mirror]) -> None:
    """A law that no bug breaks proves nothing."""
    with pytest.raises(AssertionError):
        uphold(law, bug, tries=150)
