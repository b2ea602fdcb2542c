"""A template cannot help itself to devices that its job does not ask for: what each way is answered with."""

from typing import Any

import pytest

from berth.accel.catalogue import Catalogue
from berth.accel.guarded import guarded
from berth.act.pods import Replicas
from berth.act.templates import TemplateError
from tests.unit.wire_objects import GPU, Json, a_job, a_template

NPU = "huawei.com/Ascend910"


def trainer(**fields: Any) -> Json:
    return {"name": "trainer", "image": "trainer:1", **fields}


def limits(**amounts: str) -> Json:
    return {
        "resources": {"limits": {key.replace("__", "/").replace("_", "."): value for key, value in amounts.items()}}
    }


def variable(name: str, **value: Any) -> Json:
    return {"env": [{"name": name, **value}]}


def annotated(**annotations: str) -> Json:
    return {**a_template(), "metadata": {"annotations": annotations}}


def made(template: Json, resource: str | None = GPU) -> Json:
    return Replicas(a_job(devicesPerReplica=4, template=template), 1, resource).pod(0, "n1")


@pytest.mark.parametrize(
    ("template", "resource", "said"),
    [
        pytest.param(
            annotated(**{NPU: "Ascend910-7"}),
            NPU,
            f"spec.template.metadata.annotations[{NPU}]: 'Ascend910-7': which devices a replica gets is Berth's to "
            "say; remove it",
            id="asks the plugin for devices of its choice",
        ),
        pytest.param(
            annotated(**{"huawei.com/AscendReal": "Ascend910-7"}),
            None,
            "spec.template.metadata.annotations[huawei.com/AscendReal]: 'Ascend910-7': which devices a replica gets is "
            "Berth's to say; remove it",
            id="answers in the plugin's place, so that its own devices seem free",
        ),
        pytest.param(
            annotated(**{"predicate-time": "0"}),
            GPU,
            "spec.template.metadata.annotations[predicate-time]: '0': which devices a replica gets is Berth's to say; "
            "remove it",
            id="goes before other pods of its node",
        ),
        pytest.param(
            annotated(**{"acme.example/npu": "npu-1"}),
            "acme.example/npu",
            "spec.template.metadata.annotations[acme.example/npu]: 'npu-1': which devices a replica gets is Berth's to "
            "say; remove it",
            id="the same for a resource that only its pool knows",
        ),
        pytest.param(
            a_template(trainer(**variable("NVIDIA_VISIBLE_DEVICES", value="all"))),
            GPU,
            "spec.template.spec.containers[0].env[0]: NVIDIA_VISIBLE_DEVICES has devices mounted that the job does not "
            "ask for; remove it, or set it to none",
            id="has the runtime mount all devices",
        ),
        pytest.param(
            a_template(
                trainer(),
                initContainers=[
                    trainer(
                        name="own",
                        **variable("ASCEND_VISIBLE_DEVICES", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}),
                    )
                ],
            ),
            None,
            "spec.template.spec.initContainers[0].env[0]: ASCEND_VISIBLE_DEVICES has devices mounted that the job does "
            "not ask for; remove it, or set it to none",
            id="the same by reference, in an init container",
        ),
        pytest.param(
            a_template(trainer(), initContainers=[trainer(name="own", **limits(nvidia_com__gpu="8"))]),
            GPU,
            "spec.template.spec.initContainers[0].resources.limits[nvidia.com/gpu]: '8': an init container may ask for "
            "spec.devicesPerReplica (4) at most; lower it",
            id="an init container asks for more than the job",
        ),
        pytest.param(
            a_template(trainer(), initContainers=[trainer(name="own", **limits(nvidia_com__gpu="lots"))]),
            GPU,
            "spec.template.spec.initContainers[0].resources.limits[nvidia.com/gpu]: 'lots': an init container may ask "
            "for spec.devicesPerReplica (4) at most; lower it",
            id="an init container asks for what is no number",
        ),
        pytest.param(
            a_template(
                trainer(), initContainers=[trainer(name="own", restartPolicy="Always", **limits(nvidia_com__gpu="1"))]
            ),
            GPU,
            "spec.template.spec.initContainers[0].resources.limits[nvidia.com/gpu]: '1': a sidecar would hold devices "
            "beside spec.devicesPerReplica (4); remove it",
            id="a sidecar holds one more as long as the replica lives",
        ),
        pytest.param(
            a_template(trainer(**limits(huawei_com__Ascend910="8"))),
            GPU,
            f"spec.template.spec.containers[0].resources.limits[{NPU}]: '8': devices of this pool are {GPU}; remove "
            "it, or choose spec.pools",
            id="asks for devices of another make",
        ),
        pytest.param(
            a_template(trainer(**limits(**{"nvidia_com__mig-1g_5gb": "1"}))),
            GPU,
            f"spec.template.spec.containers[0].resources.limits[nvidia.com/mig-1g.5gb]: '1': devices of this pool are "
            f"{GPU}; remove it, or choose spec.pools",
            id="asks for a part of a device beside",
        ),
    ],
)
def test_a_template_that_helps_itself_is_refused(template: Json, resource: str | None, said: str) -> None:
    """With the field, the value where it is short, and what to do."""
    with pytest.raises(TemplateError) as caught:
        made(template, resource)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(
            a_template(trainer(), initContainers=[trainer(name="check", **limits(nvidia_com__gpu="4"))]),
            id="an init container that checks the devices before the trainer has them",
        ),
        pytest.param(
            a_template(trainer(), trainer(name="log", **variable("NVIDIA_VISIBLE_DEVICES", value="none"))),
            id="a container that wants no device to be mounted",
        ),
        pytest.param(
            a_template(trainer(**variable("CUDA_VISIBLE_DEVICES", value="0,1"))),
            id="a trainer that uses some of its devices",
        ),
        pytest.param(
            a_template(trainer(**limits(rdma__hca="8"))), id="other extended resources, such as network cards"
        ),
        pytest.param(annotated(**{"example.com/note": "Ascend910-7"}), id="an annotation that no plugin reads"),
    ],
)
def test_what_gets_no_device_is_let_pass(template: Json) -> None:
    """The guard is closed: what is not on its list is none of its business."""
    assert made(template)["spec"]["containers"][0]["resources"]["limits"][GPU] == "4"


def test_every_resource_of_the_catalogue_and_its_shares_count() -> None:
    """A new make in the catalogue is guarded without a word more."""
    known = {r.name for e in Catalogue.load().entries.values() for r in e.profile.resources}
    assert known == set(guarded().resources)
    assert all(guarded().counts(name) and guarded().counts(f"{name}.shared") for name in known)
    assert guarded().counts("huawei.com/Ascend910-2c")
    assert guarded().counts("iluvatar.ai/MR-V100-vgpu")
    assert not guarded().counts("nvidia.com/gpumem")
    assert not guarded().counts("rdma/hca")
