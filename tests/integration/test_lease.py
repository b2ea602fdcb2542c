"""The Lease against the real API server: one leader at a time, whatever stops or is cut off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from berth.kube.client import ApiClient
from berth.kube.config import load
from berth.kube.lease import LEASES, Lease, LeaseLostError, NotLeading
from berth.kube.resources import SERVICES
from e2e.ground.controlplane import ControlPlane

pytestmark = pytest.mark.cluster

DURATION = 3.0


@asynccontextmanager
async def _client(control_plane: ControlPlane) -> AsyncIterator[ApiClient]:
    async with ApiClient(await load(kubeconfig=str(control_plane.kubeconfig)), limit=4, timeout=1.0) as client:
        yield client


def _lease(client: ApiClient, namespace: str, identity: str) -> Lease:
    return Lease(
        client, namespace=namespace, name="berth", identity=identity, duration=DURATION, renew_every=DURATION / 5
    )


async def test_the_second_waits_until_the_first_has_been_silent_for_a_whole_term(
    control_plane: ControlPlane, namespace: str
) -> None:
    """A leader that died is waited out by the candidate's own clock, and the next term has the next number."""
    async with _client(control_plane) as client:
        first, second = _lease(client, namespace, "a"), _lease(client, namespace, "b")
        assert await first.acquire() == 0
        keeping = asyncio.create_task(first.keep())
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(2 * DURATION)
        assert not waiting.done(), "the first is alive and renews"
        keeping.cancel()
        assert await asyncio.wait_for(waiting, 4 * DURATION) == 1
        assert not first.held, "the first knew that its term was over before the second took it"


async def test_a_released_lease_is_taken_without_waiting(control_plane: ControlPlane, namespace: str) -> None:
    """A leader that stops in order costs its successor no wait."""
    async with _client(control_plane) as client:
        first, second = _lease(client, namespace, "a"), _lease(client, namespace, "b")
        await first.acquire()
        await first.release()
        assert not first.held
        assert await asyncio.wait_for(second.acquire(), DURATION) == 1


@pytest.mark.parametrize(
    ("change", "holder"),
    [
        pytest.param(
            {"renewTime": "2026-11-22T00:00:00.000000Z"}, "", id="a renewal of its own that it did not hear of"
        ),
        pytest.param({"holderIdentity": "b", "leaseTransitions": 1}, "b", id="somebody else's term"),
        pytest.param({"leaseTransitions": 1}, "a", id="a later term of the same name"),
    ],
)
async def test_a_lease_that_has_moved_is_released_if_the_term_is_still_the_same(
    control_plane: ControlPlane, namespace: str, change: dict[str, object], holder: str
) -> None:
    """A stop may cut off a renewal after the API server has done it and before the answer is there."""
    async with _client(control_plane) as client:
        lease = _lease(client, namespace, "a")
        await lease.acquire()
        there = await client.get(LEASES, "berth", namespace=namespace)
        await client.update(LEASES, "berth", {**there, "spec": {**there["spec"], **change}}, namespace=namespace)
        await lease.release()
        found = await client.get(LEASES, "berth", namespace=namespace)
        assert found["spec"].get("holderIdentity", "") == holder


async def test_the_same_identity_takes_its_own_lease_at_once_in_a_new_term(
    control_plane: ControlPlane, namespace: str
) -> None:
    """A container that was restarted in its pod goes on without a wait; its former self is another term."""
    async with _client(control_plane) as client:
        before, after = _lease(client, namespace, "pod-0"), _lease(client, namespace, "pod-0")
        assert await before.acquire() == 0
        assert await asyncio.wait_for(after.acquire(), DURATION) == 1
        with pytest.raises(LeaseLostError, match="was taken by pod-0"):
            await asyncio.wait_for(before.keep(), 2 * DURATION)
        assert not before.held


async def test_writes_are_held_back_when_the_term_is_nearly_over(control_plane: ControlPlane, namespace: str) -> None:
    """A write that could end after the term does not begin, and is worth trying again."""
    async with _client(control_plane) as client:
        lease = _lease(client, namespace, "a")
        with pytest.raises(NotLeading):
            lease.check(0.0)
        await lease.acquire()
        lease.check(DURATION / 3)
        await asyncio.sleep(DURATION * 0.75)
        with pytest.raises(NotLeading, match=r"a write may take 1 s"):
            lease.check(1.0)


async def test_a_guarded_client_sends_no_write_outside_of_a_term(control_plane: ControlPlane, namespace: str) -> None:
    """Reads and dry runs go through, writes do not reach the server."""
    connection = await load(kubeconfig=str(control_plane.kubeconfig))
    async with _client(control_plane) as own:
        lease = _lease(own, namespace, "a")
        async with ApiClient(connection, write_guard=lease.check) as client:
            body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}}
            await client.create(SERVICES, body, namespace=namespace, dry_run=True)
            with pytest.raises(NotLeading):
                await client.create(SERVICES, body, namespace=namespace)
            assert (await client.list(SERVICES, namespace=namespace))["items"] == []
            await lease.acquire()
            # The default time limit of a write is longer than this term: still nothing may be sent.
            with pytest.raises(NotLeading):
                await client.create(SERVICES, body, namespace=namespace)
        async with ApiClient(connection, write_timeout=1.0, write_guard=lease.check) as client:
            await client.create(SERVICES, body, namespace=namespace)


async def test_a_leader_that_was_cut_off_goes_on_if_nobody_led_meanwhile(
    control_plane: ControlPlane, namespace: str
) -> None:
    """A term that could not be renewed in time holds writes back, and goes on with its number when it can be."""
    async with _client(control_plane) as client:
        lease = _lease(client, namespace, "a")
        epoch = await lease.acquire()
        await asyncio.sleep(1.5 * DURATION)
        assert not lease.held
        keeping = asyncio.create_task(lease.keep())
        for _ in range(100):
            if lease.held:
                break
            await asyncio.sleep(0.05)
        assert lease.held
        assert lease.epoch == epoch
        keeping.cancel()


async def test_a_leader_whose_lease_was_deleted_does_not_lead_on(control_plane: ControlPlane, namespace: str) -> None:
    """Nobody would renew what is not there, and every write be held back for ever: the process has to end."""
    async with _client(control_plane) as client:
        leader = _lease(client, namespace, "a")
        await leader.acquire()
        await client.delete(LEASES, "berth", namespace=namespace)
        with pytest.raises(LeaseLostError, match=f"lease {namespace}/berth was deleted"):
            await asyncio.wait_for(leader.keep(), 2 * DURATION)
        assert not leader.held
        assert await asyncio.wait_for(_lease(client, namespace, "a").acquire(), DURATION) == 0
