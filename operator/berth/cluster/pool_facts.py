"""From an AcceleratorPool and the catalogue to what the mirror keeps of it."""

from collections.abc import Iterator
from hashlib import blake2b

from berth.accel.catalogue import Catalogue
from berth.accel.profile import HandOver
from berth.accel.resolve import Accelerator, AcceleratorError, resolve
from berth.api.pod_defaults import PodDefaults
from berth.api.pool import AcceleratorPool, NodeSelector
from berth.cluster.pools import PoolFacts, Requirement


def facts(pool: AcceleratorPool, catalogue: Catalogue) -> PoolFacts:
    """Resolve a pool; one whose device cannot be told is a pool with a problem, which its status tells."""
    accelerator: Accelerator | None = None
    problem = None
    try:
        accelerator = resolve(pool.spec, catalogue)
    except AcceleratorError as error:
        problem = (error.reason, str(error))
    metadata = pool.metadata
    return PoolFacts(
        name=metadata.name,
        uid=metadata.uid,
        generation=metadata.generation,
        version=int(metadata.resource_version),
        created=metadata.creation_timestamp or 0,
        selector=tuple(_requirements(pool.spec.node_selector)),
        levels=tuple((level.level, tuple(level.node_labels)) for level in pool.spec.topology),
        resource=accelerator.resource_name if accelerator else "",
        sizes_alone=accelerator.sizes_alone if accelerator else None,
        sizes_in_gang=accelerator.sizes_in_gang if accelerator else None,
        layout=accelerator.layout if accelerator else None,
        hand_over=accelerator.hand_over if accelerator else HandOver(),
        defaults=pool.spec.pod_defaults,
        defaults_id=_id(pool.spec.pod_defaults),
        spares=accelerator.spares if accelerator else None,
        problem=problem,
    )


def _id(defaults: PodDefaults | None) -> str:
    """A short name for these defaults: equal ones have the same, and so are tried once."""
    if defaults is None or defaults == PodDefaults():
        return ""
    return blake2b(defaults.model_dump_json().encode(), digest_size=8).hexdigest()


def _requirements(selector: NodeSelector) -> Iterator[Requirement]:
    for key, value in sorted(selector.match_labels.items()):
        yield Requirement(key, "In", frozenset({value}))
    for expression in selector.match_expressions:
        yield Requirement(expression.key, str(expression.operator), frozenset(expression.values or ()))
