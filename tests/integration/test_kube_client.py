"""The client against a real API server: what it stores, what it refuses, and in which words."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from berth.kube import config
from berth.kube.client import ApiClient
from berth.kube.credentials import Credentials, Login
from berth.kube.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
)
from berth.kube.events import EventRecorder, Regarding
from berth.kube.listing import list_all, uids
from berth.kube.resources import NODES, PODS, Resource
from e2e.ground.api import Api
from e2e.ground.api import ApiError as StatusError
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until

pytestmark = pytest.mark.cluster

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
PROBES = Resource("kube.test", "v1", "probes", "Probe")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest_asyncio.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[ApiClient]:
    """A client with the administrator's kubeconfig."""
    connection = await config.load(kubeconfig=str(control_plane.kubeconfig), environ={})
    async with ApiClient(connection, limit=32) as opened:
        yield opened


@pytest.fixture(scope="session")
def probes(control_plane: ControlPlane) -> Iterator[Resource]:
    """A kind with a status of its own."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": free, "status": free}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": "probes", "singular": "probe", "kind": "Probe"}
    spec = {"group": "kube.test", "names": names, "scope": "Namespaced", "versions": [version]}
    api = control_plane.api
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    api.create(CRDS, {**body, "metadata": {"name": "probes.kube.test"}, "spec": spec})
    until(lambda: _served(api), "probes.kube.test to be served", timeout_s=20)
    yield PROBES
    api.delete(f"{CRDS}/probes.kube.test")


def _served(api: Api) -> bool:
    try:
        api.get("/apis/kube.test/v1/probes")
    except StatusError as error:
        if error.status not in (404, 429):  # 429: "storage is (re)initializing"
            raise
        return False
    return True


def pod(**container: Any) -> dict[str, Any]:
    """A pod named `x` with one container."""
    return {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "main", "image": "train:1", **container}]}}


async def test_an_object_lives_its_life(client: ApiClient, namespace: str) -> None:
    """Created, read, changed in two ways, listed by label, deleted; each answer is the object as it then is."""
    body = {"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"k": "1"}}
    created = await client.create(CONFIG_MAPS, body, namespace=namespace)
    assert created["data"]["k"] == "1"
    patched = await client.patch(CONFIG_MAPS, "a", {"data": {"k": "2"}}, namespace=namespace)
    assert patched["data"]["k"] == "2"
    await client.update(CONFIG_MAPS, "a", {**patched, "data": {"k": "3"}}, namespace=namespace)
    assert (await client.get(CONFIG_MAPS, "a", namespace=namespace))["data"]["k"] == "3"
    page = await client.list(CONFIG_MAPS, namespace=namespace, label_selector="x=y")
    assert [item["metadata"]["name"] for item in page["items"]] == ["a"]
    await client.delete(CONFIG_MAPS, "a", namespace=namespace)
    with pytest.raises(NotFound, match=f'get configmaps {namespace}/a: 404 NotFound: configmaps "a" not found'):
        await client.get(CONFIG_MAPS, "a", namespace=namespace)


async def test_a_taken_name_is_told_apart_from_a_conflict(client: ApiClient, namespace: str) -> None:
    """An actuator asks whose object it is; an update of an old state is another matter."""
    body = {"metadata": {"name": "a"}}
    created = await client.create(CONFIG_MAPS, body, namespace=namespace)
    with pytest.raises(AlreadyExists, match='configmaps "a" already exists'):
        await client.create(CONFIG_MAPS, body, namespace=namespace)
    await client.patch(CONFIG_MAPS, "a", {"data": {"k": "1"}}, namespace=namespace)
    with pytest.raises(Conflict, match="the object has been modified"):
        await client.update(CONFIG_MAPS, "a", created, namespace=namespace)


async def test_apply_owns_what_it_names_and_drops_what_it_no_longer_names(client: ApiClient, namespace: str) -> None:
    """Fields of others stay, ours go when we stop naming them."""
    await client.apply(CONFIG_MAPS, "a", {"data": {"ours": "1", "old": "1"}}, namespace=namespace)
    await client.patch(CONFIG_MAPS, "a", {"data": {"theirs": "1"}}, namespace=namespace)
    applied = await client.apply(CONFIG_MAPS, "a", {"data": {"ours": "2"}}, namespace=namespace)
    assert applied["data"] == {"ours": "2", "theirs": "1"}


async def test_apply_without_force_names_manager_and_field(client: ApiClient, namespace: str) -> None:
    """Two controllers that set one field to two values should learn of each other."""
    await client.apply(CONFIG_MAPS, "a", {"data": {"k": "1"}}, namespace=namespace, field_manager="other")
    with pytest.raises(Conflict, match=r'conflict with "other": \.data\.k') as caught:
        await client.apply(CONFIG_MAPS, "a", {"data": {"k": "2"}}, namespace=namespace, force=False)
    [cause] = caught.value.causes
    assert (cause.field, cause.reason) == (".data.k", "FieldManagerConflict")
    await client.apply(CONFIG_MAPS, "a", {"data": {"k": "2"}}, namespace=namespace)


async def test_a_status_is_written_only_over_the_state_that_was_read(
    client: ApiClient, namespace: str, probes: Resource
) -> None:
    """The guard is what keeps a stale leader from overwriting a placement."""
    made = await client.create(probes, {"metadata": {"name": "p"}, "spec": {"n": 1}}, namespace=namespace)
    read = made["metadata"]["resourceVersion"]

    async def write(state: str, version: str | None) -> dict[str, Any]:
        body = {"status": {"state": state}}
        return await client.apply(
            probes, "p", body, namespace=namespace, subresource="status", resource_version=version
        )

    first = await write("Placed", read)
    assert (first["spec"], first["status"]) == ({"n": 1}, {"state": "Placed"})
    with pytest.raises(Conflict, match="the object has been modified"):
        await write("Stale", read)
    await write("Running", first["metadata"]["resourceVersion"])
    assert (await write("Unguarded", None))["status"]["state"] == "Unguarded"


async def test_an_apply_that_changes_nothing_makes_no_new_version(
    client: ApiClient, namespace: str, probes: Resource
) -> None:
    """Writing an equal status costs a request but no event for those who watch."""
    await client.create(probes, {"metadata": {"name": "p"}, "spec": {}}, namespace=namespace)
    body = {"status": {"state": "Placed"}}
    one = await client.apply(probes, "p", body, namespace=namespace, subresource="status")
    two = await client.apply(probes, "p", body, namespace=namespace, subresource="status")
    assert one["metadata"]["resourceVersion"] == two["metadata"]["resourceVersion"]


async def test_an_apply_to_what_is_gone_makes_nothing_where_the_uid_guards_it(
    client: ApiClient, namespace: str, probes: Resource
) -> None:
    """A job that was deleted meanwhile must not come back as an empty object; a resourceVersion does not prevent it."""
    with pytest.raises(NotFound):
        await client.apply(probes, "p", {"status": {}}, namespace=namespace, subresource="status")
    with pytest.raises(Conflict, match="uid mismatch"):
        await client.apply(CONFIG_MAPS, "a", {"data": {}}, namespace=namespace, uid="u", resource_version="1")
    made = await client.apply(CONFIG_MAPS, "a", {"data": {}}, namespace=namespace, resource_version="1")
    with pytest.raises(Invalid, match=r"metadata\.uid: Invalid value"):
        await client.apply(CONFIG_MAPS, "a", {"data": {"k": "1"}}, namespace=namespace, uid="u")
    uid = made["metadata"]["uid"]
    assert (await client.apply(CONFIG_MAPS, "a", {"data": {"k": "2"}}, namespace=namespace, uid=uid))["data"][
        "k"
    ] == "2"


async def test_a_delete_hits_only_the_object_that_was_meant(client: ApiClient, namespace: str) -> None:
    """A pod made anew under an old name survives the delete that was meant for the old one."""
    made = await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace=namespace)
    uid = made["metadata"]["uid"]
    with pytest.raises(Conflict, match=r"UID in the precondition \(other-uid\) does not match"):
        await client.delete(CONFIG_MAPS, "a", namespace=namespace, uid="other-uid")
    await client.delete(CONFIG_MAPS, "a", namespace=namespace, uid=uid, dry_run=True)
    await client.get(CONFIG_MAPS, "a", namespace=namespace)
    await client.delete(CONFIG_MAPS, "a", namespace=namespace, uid=uid)
    with pytest.raises(NotFound):
        await client.delete(CONFIG_MAPS, "a", namespace=namespace, uid=uid)


async def test_a_collection_goes_by_its_label(client: ApiClient, namespace: str) -> None:
    """One request for all pods of an attempt; the others stay."""
    for name, job in (("a", "one"), ("b", "one"), ("c", "two")):
        await client.create(CONFIG_MAPS, {"metadata": {"name": name, "labels": {"job": job}}}, namespace=namespace)
    await client.delete_collection(CONFIG_MAPS, namespace=namespace, label_selector="job=one")
    left = await uids(client, CONFIG_MAPS, namespace=namespace, label_selector="job")
    assert [(namespace, "c")] == list(left)


@pytest.mark.parametrize(
    ("container", "kind", "text"),
    [
        ({"imagee": "x"}, BadRequest, 'unknown field "spec.containers[0].imagee"'),
        ({"image": ""}, Invalid, "spec.containers[0].image: Required value"),
        (
            {"resources": {"limits": {"cpu": "two"}}},
            BadRequest,
            "quantities must match the regular expression",
        ),
        ({"resources": {"limits": {"nvidia.com/gpu": "1.5"}}}, Invalid, "must be an integer"),
        ({"name": "Main_1"}, Invalid, 'spec.containers[0].name: Invalid value: "Main_1"'),
    ],
)
async def test_a_dry_run_finds_what_is_wrong_and_stores_nothing(
    client: ApiClient, namespace: str, container: dict[str, Any], kind: type[ApiError], text: str
) -> None:
    """What the user will read in the job's condition names the field of the template."""
    with pytest.raises(kind) as caught:
        await client.create(PODS, pod(**container), namespace=namespace, dry_run=True)
    assert text in str(caught.value)
    assert await uids(client, PODS, namespace=namespace) == {}


async def test_a_dry_run_shows_the_pod_as_it_will_be(client: ApiClient, namespace: str) -> None:
    """Defaults of a LimitRange are in the answer: they count in planning."""
    limits = [{"type": "Container", "default": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}}]
    ranges = Resource("", "v1", "limitranges", "LimitRange")
    await client.create(ranges, {"metadata": {"name": "l"}, "spec": {"limits": limits}}, namespace=namespace)
    shown = await client.create(PODS, pod(), namespace=namespace, dry_run=True)
    assert shown["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}
    with pytest.raises(NotFound):
        await client.get(PODS, "x", namespace=namespace)


async def test_causes_name_the_fields_of_an_invalid_object(client: ApiClient, namespace: str) -> None:
    """A condition can list them without reading the message."""
    broken = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "main"}], "restartPolicy": "Maybe"}}
    with pytest.raises(Invalid) as caught:
        await client.create(PODS, broken, namespace=namespace, dry_run=True)
    assert {"spec.containers[0].image", "spec.restartPolicy"} == {cause.field for cause in caught.value.causes}


async def test_a_quota_refuses_in_words_that_help(client: ApiClient, namespace: str) -> None:
    """Which quota, what was asked, what is used, what is allowed; not a hint at RBAC."""
    quotas = Resource("", "v1", "resourcequotas", "ResourceQuota")
    await client.create(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}}, namespace=namespace)

    told = ""
    for _ in range(200):
        # The quota counts once its controller has seen it; until then creates pass.
        try:
            await client.create(CONFIG_MAPS, {"metadata": {"generateName": "a-"}}, namespace=namespace)
        except Forbidden as error:
            told = str(error)
            break
        await asyncio.sleep(0.1)
    assert "exceeded quota: q, requested: configmaps=1" in told
    assert "role" not in told


async def test_a_service_account_may_only_what_was_granted(
    client: ApiClient, namespace: str, control_plane: ControlPlane
) -> None:
    """The refusal names account, verb and kind, and what to do; a token that is none is another error."""
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = control_plane.api.create(path, asked)["status"]["token"]
    async with ApiClient(with_token(client.connection, token)) as other:
        with pytest.raises(Forbidden) as caught:
            await other.list(PODS, namespace=namespace)
    account = f"system:serviceaccount:{namespace}:default"
    assert f'User "{account}" cannot list resource "pods"' in str(caught.value)
    assert str(caught.value).endswith("; grant it in a role bound to that user")
    async with ApiClient(with_token(client.connection, "no-token")) as other:
        with pytest.raises(Unauthorized, match="log in again"):
            await other.list(NODES)


def with_token(connection: config.Connection, token: str) -> config.Connection:
    """The same server, with a token in place of the client certificate."""
    login = Login(authorization=f"Bearer {token}")

    async def same() -> Login:
        return login

    tls = config.trust(connection.ca_file, verify=True)
    return config.Connection(base_url=connection.base_url, credentials=Credentials(login, load=same), tls=tls)


async def test_an_audit_sees_every_object_in_pages(client: ApiClient, namespace: str) -> None:
    """Names and uids, metadata only, over more pages than one, equal to what full objects show."""
    bodies = [{"metadata": {"name": f"c-{i:02d}"}, "data": {"k": "v"}} for i in range(23)]
    await asyncio.gather(
        *(client.create(CONFIG_MAPS, body, namespace=namespace, metadata_only=True) for body in bodies)
    )
    audited = await uids(client, CONFIG_MAPS, namespace=namespace, page_size=5)
    full = await list_all(
        client, CONFIG_MAPS, project=lambda item: str(item["metadata"]["uid"]), namespace=namespace, page_size=7
    )
    assert audited == full.items
    assert {f"c-{i:02d}" for i in range(23)} <= {name for _, name in audited}


async def test_metadata_alone_comes_without_the_body(client: ApiClient, namespace: str) -> None:
    """For writes as well as for reads."""
    body = {"metadata": {"name": "a"}, "data": {"k": "v" * 10_000}}
    made = await client.create(CONFIG_MAPS, body, namespace=namespace, metadata_only=True)
    assert (made["kind"], "data" in made) == ("PartialObjectMetadata", False)
    applied = await client.apply(CONFIG_MAPS, "a", {"data": {"l": "1"}}, namespace=namespace, metadata_only=True)
    assert "data" not in applied
    assert len(json.dumps(applied)) < 2000


async def test_events_are_taken_and_shown(client: ApiClient, namespace: str, control_plane: ControlPlane) -> None:
    """`kubectl describe` shows them with their count; the server takes long notes and repeated events."""
    made = await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace=namespace)
    about = Regarding("v1", "ConfigMap", "a", made["metadata"]["uid"], namespace)
    events = EventRecorder(client, controller="berth.dev/operator", instance="test")

    def post(note: str) -> None:
        events.post(about, reason="Placed", note=note, action="Place")

    post("on spine-1")
    await events.flush()
    for _ in range(4):
        post("on spine-1")
    post("x" * 5000)
    await events.flush()
    assert (events.posted, events.failed) == (3, 0)
    shown = control_plane.kubectl("describe", "configmap", "a", "-n", namespace).stdout
    assert "(x5 over" in shown
    assert "on spine-1" in shown
    node = Regarding("v1", "Node", "no-such-node", "uid-of-a-node")
    events.post(node, reason="Counted", note="cluster-scoped", action="Count", warning=True)
    await events.flush()
    assert (events.posted, events.failed) == (4, 0)


async def test_an_event_into_a_namespace_that_is_gone_is_counted_only(client: ApiClient) -> None:
    """Nobody is disturbed by it."""
    events = EventRecorder(client, controller="berth.dev/operator", instance="test")
    events.post(Regarding("v1", "ConfigMap", "a", "u", "no-such-namespace"), reason="R", note="n", action="A")
    await events.flush()
    assert (events.posted, events.failed) == (0, 1)


async def test_the_servers_own_pages_can_be_read(client: ApiClient) -> None:
    """Readiness and version are no objects of the API."""
    assert await client.text("/readyz") == "ok"
    assert '"major": "1"' in await client.text("/version")
