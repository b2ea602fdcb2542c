"""What replicas are made of: the template, completed, and never contradicted in silence."""

import copy
import re
from typing import Any

import pytest

from berth.act.environment import Rank, merged, variables
from berth.act.pods import NOT_TO_EVICT, Replicas, TemplateError, service
from berth.api.job import Runtime
from tests.unit.wire_objects import GPU, Json, a_job, a_template

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
TRAINER = {"name": "trainer", "image": "trainer:1"}


def a_pod(rank: int = 0, node: str | None = "n1", resource: str | None = GPU, attempt: int = 1, **job: Any) -> Json:
    return Replicas(a_job(**job), attempt, resource).pod(rank, node)


def env(pod: Json, container: int = 0, kind: str = "containers") -> dict[str, Any]:
    """Variables of a container, the last of equal names counting, as in Kubernetes."""
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in pod["spec"][kind][container]["env"]}


def test_a_replica_is_named_labelled_and_owned() -> None:
    """By job, attempt and rank; the job controls it, and waits for it to go."""
    pod = a_pod(3, attempt=2, replicas=4)
    assert pod["metadata"]["name"] == "train-2-3"
    assert pod["metadata"]["labels"] == {
        "berth.dev/job": "train",
        "berth.dev/job-uid": "train-uid",
        "berth.dev/attempt": "2",
        "berth.dev/replica": "3",
        "berth.dev/epoch": "0",
    }
    owner = {"apiVersion": "berth.dev/v1alpha1", "kind": "TrainingJob", "name": "train", "uid": "train-uid"}
    assert [{**owner, "controller": True, "blockOwnerDeletion": True}] == pod["metadata"]["ownerReferences"]


def test_node_affinity_of_the_template_holds_beside_the_tie() -> None:
    """Terms are alternatives, so each of them gets the tie; what is preferred, and other affinity, stays as it is."""
    one = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    other = {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n9"]}]}
    rather = [{"weight": 1, "preference": one}]
    affinity = {
        "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [one, other]}, PREFERRED: rather},
        "podAffinity": {PREFERRED: []},
    }
    written = copy.deepcopy(affinity)
    spec = a_pod(template=a_template(TRAINER, affinity=affinity))["spec"]
    tie = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    assert spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] == [
        {**one, "matchFields": [tie]},
        {"matchFields": [*other["matchFields"], tie]},
    ]
    assert spec["affinity"]["nodeAffinity"][PREFERRED] == rather
    assert spec["affinity"]["podAffinity"] == {PREFERRED: []}
    assert affinity == written


def test_an_affinity_that_is_only_preferred_is_tied_all_the_same() -> None:
    """There is no term to add the tie to, so it is one."""
    spec = a_pod(template=a_template(TRAINER, affinity={"nodeAffinity": {PREFERRED: []}}))["spec"]
    (term,) = spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}


def test_labels_and_annotations_of_the_template_are_kept() -> None:
    """Berth's own stand beside them."""
    template = {**a_template(), "metadata": {"labels": {"team": "llm"}, "annotations": {"note": "x"}}}
    pod = a_pod(template=template)
    assert pod["metadata"]["labels"]["team"] == "llm"
    assert pod["metadata"]["labels"]["berth.dev/job"] == "train"
    assert pod["metadata"]["annotations"] == {"note": "x", NOT_TO_EVICT: "false"}


def test_everything_else_of_the_template_stays_as_it_was_written() -> None:
    """Fields that Berth does not know included."""
    spec = {
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"operator": "Exists"}],
        "somethingNew": {"a_b": [1]},
        "hostNetwork": True,
    }
    container = {**TRAINER, "volumeMounts": [{"name": "data", "mountPath": "/data"}], "terminationMessagePath": "/x"}
    pod = a_pod(template=a_template(container, **spec))
    assert spec == {key: pod["spec"][key] for key in spec}
    assert container == {key: pod["spec"]["containers"][0][key] for key in container}


def test_a_replica_never_restarts_alone_and_leaves_its_last_words() -> None:
    """The tail of the log, where a container writes no message of its own, unless its author chose otherwise."""
    pod = a_pod(template=a_template(TRAINER, {"name": "b", "terminationMessagePolicy": "File"}))
    assert pod["spec"]["restartPolicy"] == "Never"
    assert [c["terminationMessagePolicy"] for c in pod["spec"]["containers"]] == ["FallbackToLogsOnError", "File"]


def test_a_replica_is_tied_to_its_node_by_an_affinity() -> None:
    """kube-scheduler checks once more and binds."""
    spec = a_pod()["spec"]
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    assert {"nodeAffinity": required} == spec["affinity"]
    assert "nodeName" not in spec


def test_with_direct_binding_a_replica_is_bound_when_it_is_made() -> None:
    """One write less."""
    spec = a_pod(binding="Direct")["spec"]
    assert spec["nodeName"] == "n1"
    assert "affinity" not in spec


def test_a_replica_that_is_only_tried_is_tied_to_nothing() -> None:
    """Nor does it ask for devices while nobody knows what they are called."""
    spec = a_pod(node=None, resource=None)["spec"]
    assert {"nodeName", "affinity"}.isdisjoint(spec)
    assert "resources" not in spec["containers"][0]


def test_replicas_find_each_other_by_host_names_under_the_attempts_service() -> None:
    """A job of one replica has nobody to find."""
    spec = a_pod(1, attempt=3)["spec"]
    assert (spec["hostname"], spec["subdomain"]) == ("train-3-1", "train-3")
    lone = a_pod(replicas=1)["spec"]
    assert lone["hostname"] == "train-1-0"
    assert "subdomain" not in lone


def test_the_service_selects_one_attempt_and_shows_who_is_not_ready() -> None:
    """The rendezvous comes before readiness, and workers of an earlier attempt must not be found."""
    found = service(a_job(), 2, "uid-of-rank-0")
    assert found["metadata"]["name"] == "train-2"
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "train-2-0", "uid-of-rank-0")
    spec = found["spec"]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)
    assert spec["selector"] == {"berth.dev/job": "train", "berth.dev/job-uid": "train-uid", "berth.dev/attempt": "2"}
    assert spec["selector"].items() <= a_pod(1, attempt=2)["metadata"]["labels"].items()
    assert [port["port"] for port in spec["ports"]] == [29500]


# Devices


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (None, {"limits": {GPU: "8"}}),
        ({}, {"limits": {GPU: "8"}}),
        ({"limits": None}, {"limits": {GPU: "8"}}),
        ({"limits": {"cpu": "4"}}, {"limits": {"cpu": "4", GPU: "8"}}),
        ({"requests": {"cpu": "4"}}, {"requests": {"cpu": "4", GPU: "8"}, "limits": {GPU: "8"}}),
        ({"limits": {GPU: 8}}, {"limits": {GPU: 8}}),
        ({"limits": {GPU: "8"}, "requests": {GPU: "8"}}, {"limits": {GPU: "8"}, "requests": {GPU: "8"}}),
    ],
)
def test_the_first_container_gets_the_devices_unless_it_asks_for_them(resources: Any, expected: Json) -> None:
    """As a limit, and as a request where the container has requests, which then have to be equal."""
    container = TRAINER if resources is None else {**TRAINER, "resources": resources}
    assert expected == a_pod(template=a_template(container))["spec"]["containers"][0]["resources"]


def test_resources_that_are_left_empty_are_none() -> None:
    """`resources:` with nothing behind it."""
    pod = a_pod(template=a_template({**TRAINER, "resources": None}))
    assert pod["spec"]["containers"][0]["resources"] == {"limits": {GPU: "8"}}


def test_devices_may_be_asked_for_by_another_container_or_by_several() -> None:
    """Together they must be what the job says."""
    four = {"resources": {"limits": {GPU: "4"}}}
    pod = a_pod(template=a_template(TRAINER, {"name": "a", **four}, {"name": "b", **four}))
    assert "resources" not in pod["spec"]["containers"][0]
    assert [four["resources"]] * 2 == [c["resources"] for c in pod["spec"]["containers"][1:]]


def test_an_init_container_may_ask_for_devices_besides() -> None:
    """A check of the devices before the training: it gives them back."""
    check = {"name": "check", "resources": {"limits": {GPU: "8"}}}
    pod = a_pod(template=a_template(TRAINER, initContainers=[check]))
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {GPU: "8"}


@pytest.mark.parametrize("asked", ["4", 4, "8k", "-8", "1e1", "eight", "0"])
def test_devices_that_contradict_the_job_are_refused(asked: Any) -> None:
    """With the field, its value, and what to do."""
    template = a_template(TRAINER, {"name": "b", "resources": {"limits": {GPU: asked}}})
    text = (
        f"spec.template.spec.containers[1].resources.limits[{GPU}]: {asked}: the containers of a replica must ask for "
        "spec.devicesPerReplica (8) in all; leave it out, and the first container gets them"
    )
    with pytest.raises(TemplateError, match=re.escape(text)):
        a_pod(template=template)


# Environment


def test_every_replica_knows_who_it_is() -> None:
    """Whatever its runtime."""
    found = env(a_pod(1, attempt=2, replicas=4))
    assert found == {
        "BERTH_JOB": "train",
        "BERTH_ATTEMPT": "2",
        "BERTH_REPLICA": "1",
        "BERTH_REPLICAS": "4",
        "BERTH_DEVICES_PER_REPLICA": "8",
        "BERTH_COORDINATOR": "train-2-0.train-2.team.svc",
    }


def test_torchrun_needs_no_arguments() -> None:
    """Its rendezvous is told by variables; a stray worker of an earlier attempt has another id."""
    found = env(a_pod(1, attempt=2, replicas=4, runtime="Torchrun"))
    assert {name: value for name, value in found.items() if name.startswith("PET_")} == {
        "PET_NNODES": "4",
        "PET_NODE_RANK": "1",
        "PET_NPROC_PER_NODE": "8",
        "PET_MASTER_ADDR": "train-2-0.train-2.team.svc",
        "PET_MASTER_PORT": "29500",
        "PET_RDZV_ID": "train-2",
    }


@pytest.mark.parametrize("runtime", list(Runtime))
def test_every_runtime_has_berths_own_variables(runtime: Runtime) -> None:
    """A runtime adds, and takes nothing away; values are texts, as Kubernetes wants them."""
    found = variables(Rank("train", 1, 0, 2, 8, "host"), runtime)
    assert {"BERTH_JOB", "BERTH_COORDINATOR"} <= {v["name"] for v in found}
    assert all(isinstance(v["value"], str) for v in found)


def test_a_lone_replica_meets_itself() -> None:
    """It has no Service."""
    assert env(a_pod(replicas=1, runtime="Torchrun"))["PET_MASTER_ADDR"] == "localhost"


def test_berths_variables_stand_first_so_that_others_may_refer_to_them() -> None:
    """Kubernetes expands `$(NAME)` only from variables that stand before."""
    own = [
        {"name": "LOG", "value": "/logs/$(BERTH_REPLICA)"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "x"}}},
    ]
    names = [v["name"] for v in a_pod(template=a_template({**TRAINER, "env": own}))["spec"]["containers"][0]["env"]]
    assert names[-2:] == ["LOG", "POD"]
    assert names.index("BERTH_REPLICA") < names.index("LOG")


def test_a_container_may_override_what_its_runtime_is_told() -> None:
    """One process for each replica instead of one for each device: it stands there once."""
    own = [{"name": "PET_NPROC_PER_NODE", "value": "1"}]
    pod = a_pod(runtime="Torchrun", template=a_template({**TRAINER, "env": own}))
    names = [v["name"] for v in pod["spec"]["containers"][0]["env"]]
    assert names.count("PET_NPROC_PER_NODE") == 1
    assert env(pod)["PET_NPROC_PER_NODE"] == "1"


def test_pytorch_on_ascend_finds_its_rendezvous() -> None:
    """Sizes count dies, ranks count replicas; a group is a logical super-pod."""
    groups = {"groups": {"size": 2, "level": "superpod"}}
    pod = a_pod(5, replicas=8, devicesPerReplica=16, runtime="TorchNPU", topology=groups)
    expected = {
        "MASTER_ADDR": "train-1-0.train-1.team.svc",
        "MASTER_PORT": "29500",
        "WORLD_SIZE": "128",
        "RANK": "5",
        "LOCAL_WORLD_SIZE": "16",
        "HCCL_CONNECT_TIMEOUT": "1800",
        "HCCL_LOGIC_SUPERPOD_ID": "2",
    }
    assert expected == {name: value for name, value in env(pod).items() if not name.startswith("BERTH_")}
    assert "HCCL_LOGIC_SUPERPOD_ID" not in env(a_pod(1, runtime="TorchNPU"))


def test_all_containers_get_the_environment() -> None:
    """Those that prepare, too."""
    pod = a_pod(1, template=a_template(TRAINER, {"name": "b"}, initContainers=[{"name": "stage-in"}]))
    assert [
        env(pod)["BERTH_REPLICA"],
        env(pod, 1)["BERTH_REPLICA"],
        env(pod, 0, "initContainers")["BERTH_REPLICA"],
    ] == ["1", "1", "1"]


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_berths_own_variables_cannot_be_set(kind: str) -> None:
    """A replica that lied about its rank would break the gang."""
    bad = {"name": "b", "env": [{"name": "X", "value": "1"}, {"name": "BERTH_REPLICA", "value": "0"}]}
    template = (
        a_template(TRAINER, bad) if kind == "containers" else a_template(TRAINER, initContainers=[{"name": "a"}, bad])
    )
    text = f"spec.template.spec.{kind}[1].env BERTH_REPLICA: names that start with BERTH_ are set by Berth; rename it"
    with pytest.raises(TemplateError, match=re.escape(text)):
        a_pod(template=template)


def test_merging_changes_neither_side() -> None:
    """Pods of one gang are made from one template."""
    ours = [{"name": "A", "value": "1"}]
    theirs: list[dict[str, object]] = [{"name": "B", "value": "2"}]
    before = copy.deepcopy((ours, theirs))
    merged(ours, theirs)[0]["value"] = "9"
    assert before == (ours, theirs)


def test_pods_of_one_gang_share_nothing() -> None:
    """What is changed in one does not show in another, nor in the job."""
    job = a_job(template=a_template({**TRAINER, "env": [{"name": "A", "value": "1"}]}))
    replicas = Replicas(job, 1, GPU)
    first, second = replicas.pod(0, "n1"), replicas.pod(1, "n2")
    first["spec"]["containers"][0]["env"].clear()
    first["spec"]["containers"][0]["resources"]["limits"].clear()
    assert env(second)["BERTH_REPLICA"] == "1"
    assert second == Replicas(job, 1, GPU).pod(1, "n2")


# Templates that are no templates


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (a_template({**TRAINER, "env": "A=1"}), "containers[0].env: 'A=1': must be a list of objects"),
        (a_template({**TRAINER, "env": ["A=1"]}), "containers[0].env[0]: 'A=1': must be an object"),
        (a_template({**TRAINER, "env": {"A": "1"}}), "containers[0].env: {'A': '1'}: must be a list of objects"),
        (a_template({**TRAINER, "resources": "large"}), "containers[0].resources: 'large': must be an object"),
        (
            a_template({**TRAINER, "resources": {"limits": [GPU]}}),
            f"containers[0].resources.limits: ['{GPU}']: must be an object",
        ),
        (
            a_template({**TRAINER, "resources": {"requests": 8}}),
            "containers[0].resources.requests: 8: must be an object",
        ),
        (
            a_template(TRAINER, affinity={"nodeAffinity": "zone a"}),
            "affinity.nodeAffinity: 'zone a': must be an object",
        ),
        (
            a_template(TRAINER, affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": "zone"}}}),
            f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms: 'zone': must be a list of objects",
        ),
        (a_template(TRAINER, initContainers="stage-in"), "initContainers: 'stage-in': must be a list of objects"),
        (a_template(TRAINER, initContainers=["stage-in"]), "initContainers[0]: 'stage-in': must be an object"),
        (
            a_template(TRAINER, initContainers=[{"name": "a", "env": 5}]),
            "initContainers[0].env: 5: must be a list of objects",
        ),
    ],
)
def test_a_field_of_the_wrong_shape_is_told_by_name(template: Json, text: str) -> None:
    """The schema keeps what it does not know, so it may be anything: it must not end the operator."""
    with pytest.raises(TemplateError, match=re.escape(f"spec.template.spec.{text}; write it as in a Pod")):
        a_pod(template=template)


def test_shapes_that_are_left_empty_are_none() -> None:
    """`env:` with nothing behind it is how people clear a list."""
    pod = a_pod(template=a_template({**TRAINER, "env": None, "resources": {"requests": None}}, initContainers=None))
    assert env(pod)["BERTH_REPLICA"] == "0"


def test_autoscalers_are_told_to_leave_replicas_alone_whatever_the_template_says() -> None:
    """One that went would take the whole gang with it."""
    template = {**a_template(), "metadata": {"annotations": {NOT_TO_EVICT: "true"}}}
    assert a_pod(template=template)["metadata"]["annotations"] == {NOT_TO_EVICT: "false"}


def test_replicas_get_the_priority_class_of_the_settings() -> None:
    """None: the cluster's default."""
    made = Replicas(a_job(), 1, GPU, priority_class="berth").pod(0, "n1")
    assert made["spec"]["priorityClassName"] == "berth"
    assert "priorityClassName" not in Replicas(a_job(), 1, GPU).pod(0, "n1")["spec"]
