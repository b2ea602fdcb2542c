"""Who tries things in the tests of the policies, what it is answered, and how it got its rights."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from e2e.ground.api import Api, ApiError, JsonObject
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from tests.integration.scene import POOLS

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
MANAGED = "berth.dev/managed"
PARAMETERS = "/api/v1/namespaces/kube-system/configmaps/berth-policies"


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody with the role `edit` in one namespace, and nothing anywhere else; `api` are requests as that person."""

    namespace: str
    api: Api
    user: str

    @property
    def core(self) -> str:
        """The core API in the tenant's namespace."""
        return f"/api/v1/namespaces/{self.namespace}"

    @property
    def jobs(self) -> str:
        """The tenant's jobs."""
        return f"/apis/berth.dev/v1alpha1/namespaces/{self.namespace}/trainingjobs"

    def pod(self, name: str = "pod", **spec: Any) -> JsonObject:
        """Manifest of a plain pod; ``labels``, ``annotations``, ``finalizers`` and ``owners`` go to its metadata."""
        metadata: JsonObject = {"name": name}
        keys = {"labels": "labels", "annotations": "annotations", "finalizers": "finalizers"}
        for key, field in {**keys, "owners": "ownerReferences"}.items():
            if key in spec:
                metadata[field] = spec.pop(key)
        container = {"name": "main", "image": "none", **spec.pop("container", {})}
        return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def refusal(request: Callable[[], object]) -> str:
    """What the API server says against a request; `taken` if it says nothing.

    Of a policy the sentence behind its name: `berth-ownership: metadata...`.
    """
    try:
        request()
    except ApiError as error:
        return told(str(error))
    return "taken"


def told(text: str) -> str:
    """A refusal without the names of the request; of a policy, its name and sentence."""
    found = re.search(r"ValidatingAdmissionPolicy '([^']+)' with binding '[^']+' denied request: (.*)", text)
    return f"{found[1]}: {found[2]}" if found else text.partition(": ")[2]


def person(plane: ControlPlane, namespace: str, account: str) -> Api:
    """Requests as a service account that is there; to be closed."""
    return Api.with_token(plane.kubeconfig, token(plane.api, namespace, account))


def grant(plane: ControlPlane, tenant: Tenant, *rules: JsonObject) -> None:
    """Give a tenant more rights in its namespace, such as an administrator does who is too kind."""
    role = f"{RBAC}/namespaces/{tenant.namespace}/roles"
    plane.api.create(role, {"metadata": {"name": "more"}, "rules": list(rules)})
    bind(plane.api, "more", "more", tenant.namespace, "tenant", inside=True, kind="Role")


def bind(
    api: Api, name: str, role: str, namespace: str, account: str, *, inside: bool = False, kind: str = "ClusterRole"
) -> None:
    """Bind a role to a service account: in its namespace only (``inside``), or everywhere."""
    path = f"{RBAC}/namespaces/{namespace}/rolebindings" if inside else f"{RBAC}/clusterrolebindings"
    api.create(
        path,
        {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    )


def token(api: Api, namespace: str, account: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
    return str(api.create(path, request)["status"]["token"])


def hold_again(plane: ControlPlane) -> None:
    """Wait until the API server goes by the policies, as it does a moment after they or their parameters changed.

    Who changes them in a test ends with this, so that the next test finds what stands in the files.
    """
    with person(plane, "kube-system", "device-plugin") as nobody_special:
        until(lambda: _in_force(nobody_special), "the policies to be in force", timeout_s=30)


def _in_force(api: Api) -> bool:
    """Whether the API server goes by the policies: it reads them, and their parameters, a moment after they are there.

    Three are tried, the first and the last in order of files, and the one for which the namespace's labels count.
    """
    forged = {"metadata": {"name": "x", "labels": {"berth.dev/job-uid": "x", "berth.dev/epoch": "1"}}}
    pod = {**forged, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    asking = {"name": "main", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    device = {"metadata": {"name": "x"}, "spec": {"containers": [asking]}}
    said = (
        refusal(lambda: api.create("/api/v1/namespaces/default/pods?dryRun=All", pod)),
        refusal(lambda: api.patch(f"{POOLS}/in-force/status?dryRun=All", {"status": {}})),
        refusal(lambda: api.create("/api/v1/namespaces/in-force/pods?dryRun=All", device)),
    )
    return (
        said[0].startswith("berth-")
        and "status: cannot be written by" in said[1]
        and said[2].startswith("berth-accelerators")
    )
