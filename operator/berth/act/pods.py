"""What is created for an attempt: one pod for each replica, their headless Service and their disruption budget.

The Service is how replicas find rank 0; the budget is there because a gang that loses one pod has lost them all.
Names carry the attempt, so that nothing of an earlier attempt can be taken for something of this one; the Service
selects by attempt for the same reason, and publishes addresses that are not ready, because the rendezvous comes before
readiness. A job of one replica needs no Service.
"""

import copy
from typing import Any

from berth.act import affinity, defaults, guard
from berth.act.devices import Chosen
from berth.act.environment import Rank, merged, variables
from berth.act.templates import TemplateError, check_shape, give_devices, refusing
from berth.api import names
from berth.api.job import Binding, TrainingJob
from berth.api.pod_defaults import PodDefaults
from berth.api.wire import MESSAGE_LENGTH, cut, rfc3339
from berth.cluster.project import pod_name

NOT_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
"""Annotation by which autoscalers leave a pod, and with it its node, alone."""


def service_name(job: str, attempt: int) -> str:
    """`<job>-<attempt>`: the subdomain of the replicas of one attempt, and the name of their disruption budget."""
    return f"{job}-{attempt}"


def labels(job: TrainingJob, attempt: int) -> dict[str, str]:
    """Labels of everything that belongs to one attempt."""
    return {
        names.LABEL_JOB: job.metadata.name,
        names.LABEL_JOB_UID: job.metadata.uid,
        names.LABEL_ATTEMPT: str(attempt),
    }


def service(job: TrainingJob, attempt: int, anchor: str) -> dict[str, Any]:
    """Headless Service of an attempt; `anchor` is the uid of rank 0's pod, with which it goes."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service_name(job.metadata.name, attempt),
            "labels": labels(job, attempt),
            "ownerReferences": [_anchored(job, attempt, anchor)],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": labels(job, attempt),
            "ports": [{"name": "rendezvous", "port": names.COORDINATOR_PORT, "protocol": "TCP"}],
        },
    }


def budget(job: TrainingJob, attempt: int, anchor: str) -> dict[str, Any]:
    """PodDisruptionBudget of an attempt: whoever asks before it disturbs a pod may not take any of them.

    It goes with rank 0's pod, whose uid is `anchor`.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": service_name(job.metadata.name, attempt),
            "labels": labels(job, attempt),
            "ownerReferences": [_anchored(job, attempt, anchor)],
        },
        "spec": {"minAvailable": job.spec.replicas, "selector": {"matchLabels": labels(job, attempt)}},
    }


def taken_by_scheduler(uid: str, why: str, at: int) -> dict[str, Any]:
    """Patch of a pod's status that says, in the words of Kubernetes, that a scheduler takes the pod.

    The uid guards: another pod of that name is not patched. `at` in unix seconds.
    """
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": cut(f"Berth: {why}", MESSAGE_LENGTH),
        "lastTransitionTime": rfc3339(at),
    }
    return {"metadata": {"uid": uid}, "status": {"conditions": [condition]}}


class Replicas:
    """Makes the pods of one attempt; the template is copied and completed once.

    `resource` is what a device is called on the nodes of the pool; None leaves the devices out (only to try the rest).
    `epoch` is the term of the leader that makes them. `priority_class`: their PriorityClass; None: the cluster's
    default. `pool_defaults`: what the pool merges into its replicas.

    Raises TemplateError if the template contradicts the job.
    """

    @refusing()
    def __init__(
        self,
        job: TrainingJob,
        attempt: int,
        resource: str | None,
        epoch: int = 0,
        priority_class: str | None = None,
        pool_defaults: PodDefaults | None = None,
    ) -> None:
        self._job = job
        self._variables = defaults.variables(pool_defaults)
        self._attempt = attempt
        self._epoch = epoch
        template = job.spec.template.manifest()
        self._metadata = template.get("metadata") or {}
        self._spec: dict[str, Any] = template["spec"]
        check_shape(self._spec)
        guard.check(self._metadata, self._spec, resource, job.spec.devices_per_replica)
        self._spec["restartPolicy"] = "Never"
        if priority_class is not None:
            self._spec["priorityClassName"] = priority_class
        for container in self._spec["containers"]:
            container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
        if resource is not None:
            give_devices(self._spec["containers"], resource, job.spec.devices_per_replica)
        if pool_defaults is not None:
            defaults.merge(self._spec, pool_defaults, resource)

    @refusing()
    def pod(self, rank: int, node: str | None, chosen: Chosen | None = None) -> dict[str, Any]:
        """The pod of one rank, tied to its node; to none if `node` is None (only to try it).

        `chosen`: its devices, where Berth chose them. Raises TemplateError.
        """
        job = self._job
        name = pod_name(job.metadata.name, self._attempt, rank)
        spec = copy.deepcopy(self._spec)
        spec["hostname"] = name
        if job.spec.replicas > 1:
            spec["subdomain"] = service_name(job.metadata.name, self._attempt)
        environment = variables(self._rank(rank), job.spec.runtime) + self._variables
        for kind in ("initContainers", "containers"):
            for index, container in enumerate(spec.get(kind) or ()):
                try:
                    container["env"] = merged(environment, container.get("env") or ())
                except ValueError as error:
                    raise TemplateError(f"spec.template.spec.{kind}[{index}].{error}") from error
        if node is not None:
            _tie(spec, node, job.spec.binding)
        annotations = self._metadata.get("annotations") or {}
        if chosen is not None:
            chosen.give(spec["containers"])
            annotations = {**annotations, **chosen.annotations()}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": {
                    **(self._metadata.get("labels") or {}),
                    **labels(job, self._attempt),
                    names.LABEL_REPLICA: str(rank),
                    names.LABEL_EPOCH: str(self._epoch),
                },
                "annotations": {**annotations, NOT_TO_EVICT: "false"},
                "ownerReferences": [_owner(job)],
            },
            "spec": spec,
        }

    def _rank(self, rank: int) -> Rank:
        job = self._job
        name, namespace = job.metadata.name, job.metadata.namespace
        if job.spec.replicas > 1:
            coordinator = f"{pod_name(name, self._attempt, 0)}.{service_name(name, self._attempt)}.{namespace}.svc"
        else:
            coordinator = "localhost"
        groups = job.spec.topology.groups if job.spec.topology else None
        return Rank(
            job=name,
            attempt=self._attempt,
            replica=rank,
            replicas=job.spec.replicas,
            devices=job.spec.devices_per_replica,
            coordinator=coordinator,
            group_size=groups.size if groups else None,
        )


def _anchored(job: TrainingJob, attempt: int, anchor: str) -> dict[str, Any]:
    """Owner of what an attempt needs besides its pods.

    Rank 0's pod and not the job: so the garbage collector takes it away with the attempt, even if the operator died
    between the end of the attempt and the deletion.
    """
    return {"apiVersion": "v1", "kind": "Pod", "name": pod_name(job.metadata.name, attempt, 0), "uid": anchor}


def _owner(job: TrainingJob) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.JOB_KIND,
        "name": job.metadata.name,
        "uid": job.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _tie(spec: dict[str, Any], node: str, binding: Binding) -> None:
    """Tie a pod to its node: by a required affinity that kube-scheduler obeys, or by binding it at once."""
    if binding is Binding.DIRECT:
        spec["nodeName"] = node
        return
    affinity.tie(spec, node)
