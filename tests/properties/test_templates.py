"""Whatever the schema lets through, a template is made a pod of, or refused with a sentence: nothing else happens.

The CRD keeps the fields that it does not declare, so anything that is JSON may be stored below a container.
"""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from berth.accel.profile import HandOver
from berth.act.devices import Chosen
from berth.act.pods import Replicas
from berth.act.templates import TemplateError
from berth.api.job import TrainingJob
from berth.api.pod_defaults import PodDefaults
from tests.unit.wire_objects import GPU, a_job, a_template

KEYS = st.sampled_from(
    ("name", "value", "limits", "requests", GPU, "cpu", "add", "drop", "capabilities", "mountPath", "claims")
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 10)
    | st.floats(allow_nan=False)
    | st.sampled_from(("", "8", "8.0", "-8", "٨", "1" * 5_000, "BERTH_JOB", "x"))
)
JSON = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3), max_leaves=12
)
NAMED = {
    "env": st.lists(st.fixed_dictionaries({}, optional={"name": JSON, "value": JSON}), max_size=3) | JSON,
    "resources": st.fixed_dictionaries(
        {}, optional={"limits": st.dictionaries(KEYS, JSON, max_size=2), "requests": JSON, "claims": JSON}
    )
    | JSON,
    "securityContext": st.fixed_dictionaries({}, optional={"capabilities": JSON}) | JSON,
    "volumeMounts": JSON,
    "terminationMessagePolicy": JSON,
}
CONTAINERS = st.fixed_dictionaries({}, optional=NAMED)
PODS = st.fixed_dictionaries({}, optional={"tolerations": JSON, "volumes": JSON, "initContainers": JSON})
DEFAULTS = PodDefaults.model_validate(
    {
        "sharedMemory": "1Gi",
        "capabilities": ["IPC_LOCK"],
        "resources": {"cpu": "1"},
        "env": [{"name": "A", "value": "1"}],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    }
)
HAND_OVER = HandOver(annotation="devices", environment="VISIBLE")


def refused(job: TrainingJob, defaults: PodDefaults | None) -> str:
    """Why no pod can be made of a job's template; empty if one can be."""
    try:
        Replicas(job, 1, GPU, pool_defaults=defaults).pod(1, "n1", Chosen(HAND_OVER, GPU, 0xFF, 1_000, 1))
    except TemplateError as error:
        return str(error)
    return ""


def nested(levels: int) -> dict[str, Any]:
    """So many objects inside each other."""
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"x": found}
    return found


@given(container=CONTAINERS, pod=PODS)
@example(container={"env": [{"name": {"x": 1}}]}, pod={})
@example(container={"resources": {"limits": {GPU: "1" * 5_000}}}, pod={})
@example(container={"livenessProbe": nested(300)}, pod={})
@example(container={"env": nested(250)}, pod={})
@example(container={"securityContext": {"capabilities": "ALL"}}, pod={})
@example(container={"volumeMounts": ["/dev/shm"]}, pod={})
def test_a_template_is_made_a_pod_of_or_refused_with_a_sentence(container: dict[str, Any], pod: dict[str, Any]) -> None:
    """Anything else would end the operator, again and again."""
    try:
        job = a_job(template=a_template({"name": "trainer", **container}, **pod))
    except ValidationError:
        return  # what the schema refuses is never stored
    for defaults in (None, DEFAULTS):
        sentence = refused(job, defaults)
        assert sentence == "" or sentence.startswith("spec.template")
        assert len(sentence) < 1_000, "a sentence, not the value whole"
