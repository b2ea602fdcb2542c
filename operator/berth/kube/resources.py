"""Kinds of the API by their path: what a request needs to know of a kind, and no more.

A typed model of each kind is what makes the official client slow. Here a kind is five words, from which the
paths of its objects, lists and subresources follow.
"""

from dataclasses import dataclass
from urllib.parse import quote

from berth.api import names


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of the API. `group` is empty for the core kinds; `kind` is what manifests call it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What stands in `apiVersion`: `v1`, `berth.dev/v1alpha1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of one object, of its subresource, or (without `name`) of a list.

        A list of a namespaced kind without `namespace` is that of all namespaces. Raises ValueError when one
        object of a namespaced kind is asked for without its namespace, or a cluster-scoped kind with one.
        """
        if namespace is not None and not self.namespaced:
            raise ValueError(f"{self.plural} are cluster-scoped: leave out namespace={namespace!r}")
        if namespace is None and self.namespaced and name is not None:
            raise ValueError(f"{self.plural} {name!r} lives in a namespace: give namespace=")
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


PODS = Resource("", "v1", "pods", "Pod")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
SERVICES = Resource("", "v1", "services", "Service")
POD_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
VALIDATING_ADMISSION_POLICIES = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
TRAINING_JOBS = Resource(names.GROUP, names.VERSION, names.JOB_PLURAL, names.JOB_KIND)
ACCELERATOR_POOLS = Resource(names.GROUP, names.VERSION, names.POOL_PLURAL, names.POOL_KIND, namespaced=False)
