"""What a simulated cluster looks like: pools of equal nodes under a tree of network levels.

A model is a YAML file.  The tree of a pool is either regular, with a count at each level, or read from a topology
file, a CSV with one row per node and one column per level:

    pools:
    - name: h800
      levels:                                    # widest first; the node is the last level and is not listed
      - {name: spine, label: fabric.topograph.run/tier-1, count: 2}     # or column: PSW
      - {name: leaf, label: fabric.topograph.run/tier-0, count: 4}      # under each spine
      nodes: 8                                   # under each leaf; or topology: {file: hosts.csv, node: host}
      device: {resource: nvidia.com/gpu, count: 8}
      cpu: "192"
      memory: 2Ti
      pods: 110
      labels: {nvidia.com/gpu.product: NVIDIA-H800}

A domain's name, the value of its label, holds the names above it: a leaf S14 under the spine P10 is ``P10-S14``.
Topology files number the leaves under each spine anew, and two leaves must not become one domain for readers that
look at one label only.
"""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from e2e.ground import nodes
from e2e.ground.api import JsonObject

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([mkMGTPE]|[KMGTPE]i)?")


class ModelError(ValueError):
    """A model or its topology file is wrong; the message names file, line, field, value and what is right."""


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise ValueError(f"{what} is needed")
        return value

    return AfterValidator(check)


Name = Annotated[str, _matching(_NAME, "a name of lower-case letters, digits and '-', at most 63")]
LabelValue = Annotated[str, _matching(_LABEL_VALUE, "a label value (letters, digits, '-', '_', '.', at most 63)")]
Qualified = Annotated[str, _matching(_QUALIFIED, "a name like example.com/name")]
Quantity = Annotated[str, _matching(_QUANTITY, 'a quantity in quotes like "192", 500m or 2Ti')]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Device(_Strict):
    """The devices of one node, as an extended resource."""

    resource: Qualified
    count: PositiveInt


class Taint(_Strict):
    """A taint that every node of the pool has."""

    key: Qualified
    value: LabelValue = ""
    effect: Annotated[str, Field(pattern="^(NoSchedule|PreferNoSchedule|NoExecute)$")] = "NoSchedule"


class Level(_Strict):
    """A level of the network tree: ``count`` domains under each domain above, or a ``column`` of the topology."""

    name: Name
    label: Qualified
    count: PositiveInt | None = None
    column: str | None = None


class Topology(_Strict):
    """A CSV file, beside the model, with one row per node; ``node`` is the column of the nodes' names."""

    file: str
    node: str


class Pool(_Strict):
    """Nodes of one kind under one network tree.

    ``cpu``, ``memory`` and ``resources`` are quantities for each node, ``pods`` its limit of pods.
    """

    name: Name
    levels: tuple[Level, ...] = ()
    nodes: PositiveInt | None = None
    topology: Topology | None = None
    device: Device
    cpu: Quantity
    memory: Quantity
    pods: PositiveInt = 110
    resources: dict[Qualified, Quantity] = Field(default_factory=dict)
    labels: dict[Qualified, LabelValue] = Field(default_factory=dict)
    annotations: dict[Qualified, str] = Field(default_factory=dict)
    taints: tuple[Taint, ...] = ()

    @model_validator(mode="after")
    def _one_kind_of_tree(self) -> Self:
        if (self.nodes is None) == (self.topology is None):
            raise ValueError("either nodes (for a regular tree) or topology (for a file) is needed, and not both")
        for level in self.levels:
            needed, other = ("count", "column") if self.topology is None else ("column", "count")
            if getattr(level, needed) is None or getattr(level, other) is not None:
                tree = "a regular tree" if self.topology is None else "a topology file"
                raise ValueError(f"level {level.name}: with {tree} it needs {needed}, and no {other}")
        return self


class Place(_Strict):
    """One node and its domains, widest first: the values of its level labels."""

    node: str
    domains: tuple[str, ...]


class ClusterModel(_Strict):
    """All pools of a cluster.  Topology files are looked for beside the file that the model was loaded from."""

    pools: tuple[Pool, ...]
    _path: Path = PrivateAttr(default=Path("model.yaml"))

    @model_validator(mode="after")
    def _some_pool(self) -> Self:
        if not self.pools:
            raise ValueError("pools: at least one is needed")
        return self

    @classmethod
    def load(cls, path: Path) -> "ClusterModel":
        """Read a model and check it together with its topology files; ModelError when something is wrong."""
        try:
            text = path.read_text()
            document = yaml.compose(text)
            content = yaml.safe_load(text)
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}; name a file that can be read") from error
        except yaml.YAMLError as error:
            raise ModelError(f"{path} is not YAML: {error}") from error
        if not isinstance(content, dict):
            raise ModelError(f"{path}: a mapping with the key 'pools' is needed")
        try:
            model = cls.model_validate(content)
        except ValidationError as error:
            raise ModelError("\n".join(_told(path, document, found) for found in error.errors())) from error
        model._path = path
        model.manifests()
        return model

    def places(self, pool: Pool) -> list[Place]:
        """Every node of a pool with its domains, in the order of the tree or of the file."""
        if pool.topology is None:
            return list(_regular(pool))
        return list(_from_file(pool, self._path.parent / pool.topology.file))

    def manifests(self) -> list[JsonObject]:
        """Node manifests of all pools; ModelError when two nodes have the same name."""
        made = [_manifest(pool, place) for pool in self.pools for place in self.places(pool)]
        counts = Counter(str(node["metadata"]["name"]) for node in made)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ModelError(
                f"{self._path}: {len(twice)} node names occur more than once, for instance {twice[0]}; "
                "give each pool a name, and each row of a topology file a node, of its own"
            )
        return made

    def summary(self) -> str:
        """One line for each pool: nodes, domains of each level, devices."""
        return "\n".join(self._pool_summary(pool) for pool in self.pools)

    def _pool_summary(self, pool: Pool) -> str:
        places = self.places(pool)
        domains = [
            f"{len({place.domains[depth] for place in places})} x {level.name}"
            for depth, level in enumerate(pool.levels)
        ]
        devices = f"{len(places) * pool.device.count} x {pool.device.resource}"
        return f"{pool.name}: {', '.join([f'{len(places)} nodes', *domains, devices])}"


def _regular(pool: Pool) -> Iterator[Place]:
    counts = [level.count or 0 for level in pool.levels]
    steps = [*(level.name for level in pool.levels), "node"]
    widths = [len(str(count)) for count in (*counts, pool.nodes)]
    for path in itertools.product(*(range(1, count + 1) for count in (*counts, pool.nodes or 0))):
        parts = [f"{step}{number:0{width}}" for step, number, width in zip(steps, path, widths, strict=True)]
        names = list(itertools.accumulate([pool.name, *parts], lambda above, part: f"{above}-{part}"))
        yield Place(node=names[-1], domains=tuple(names[1:-1]))


def _from_file(pool: Pool, path: Path) -> Iterator[Place]:
    assert pool.topology is not None
    columns = [pool.topology.node, *(level.column or "" for level in pool.levels)]
    try:
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            missing = [column for column in columns if column not in (rows.fieldnames or ())]
            if missing:
                raise ModelError(f"{path}:1: no column {', '.join(missing)}; it has {', '.join(rows.fieldnames or ())}")
            for row in rows:
                yield _row(path, rows.line_num, [row[column] for column in columns])
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; pool {pool.name} names it as its topology") from error


def _row(path: Path, line: int, cells: list[str | None]) -> Place:
    node, *domains = [cell or "" for cell in cells]
    if _NAME.fullmatch(node) is None:
        raise ModelError(f"{path}:{line}: node {node!r}: lower-case letters, digits and '-' are needed, at most 63")
    names = list(itertools.accumulate(domains, lambda above, part: f"{above}-{part}"))
    for cell, name in zip(domains, names, strict=True):
        if not cell or _LABEL_VALUE.fullmatch(name) is None:
            raise ModelError(
                f"{path}:{line}: domain {name!r}: letters, digits, '-', '_' and '.' are needed, at most 63"
            )
    return Place(node=node, domains=tuple(names))


def _manifest(pool: Pool, place: Place) -> JsonObject:
    tree = {level.label: domain for level, domain in zip(pool.levels, place.domains, strict=True)}
    return nodes.manifest(
        place.node,
        resources={
            "cpu": pool.cpu,
            "memory": pool.memory,
            "pods": str(pool.pods),
            pool.device.resource: str(pool.device.count),
            **pool.resources,
        },
        labels={**pool.labels, **tree},
        annotations=pool.annotations,
        taints=[taint.model_dump() for taint in pool.taints],
    )


def _told(path: Path, document: yaml.Node | None, error: Any) -> str:
    """One finding of pydantic, with the line of the innermost key that is in the file."""
    node, line, field = document, 1, ""
    for step in error["loc"]:
        field += f"[{step}]" if isinstance(step, int) else f".{step}" if field else str(step)
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
        elif isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == step), None)
        else:
            node = None
        line = line if node is None else node.start_mark.line + 1
    message = error["msg"].removeprefix("Value error, ")
    # What was wrong with a whole section is in the message; its content would not help.
    value = f", got {error['input']!r}" if isinstance(error["input"], str | int | float | bool) else ""
    return f"{path}:{line}: {field}: {message}{value}" if field else f"{path}:{line}: {message}{value}"
