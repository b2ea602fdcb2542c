"""From the cluster of a scenario to fleets: regular trees, topology files, nodes one by one.

A domain is named with the names above it (leaf S14 under spine P10 is `P10-S14`), as in the models of the demo:
topology files number the leaves under each spine anew.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from berth.cluster.quantities import amount
from berth.core.model import Node, Taint
from berth.core.topology import Tree
from berth.sim.case import Fleet
from berth.sim.scenario import tables
from berth.sim.scenario.cluster import Cluster, ListedNode, Pool
from berth.sim.scenario.problems import Problem, ScenarioError
from berth.sim.scenario.reading import Document, checked, document, field_name, text_of

_PODS = 110


def fleets(cluster: Cluster, found: Document, base: Path) -> tuple[Fleet, ...]:
    """The pools of a scenario that was read from `found`, files looked for under `base`. Raises ScenarioError."""
    at: tuple[int | str, ...] = ("cluster", "pools")
    pools = cluster.pools
    if pools is None:
        assert cluster.model is not None, "a cluster has pools or a model"
        path = base / cluster.model
        if not path.is_file():
            raise missing(found, ("cluster", "model"), path)
        base, at = path.parent, ("pools",)
        pools, found = _model(path)
    made = [_fleet(pool, found, (*at, number), base) for number, pool in enumerate(pools)]
    _unique(found, at, "pool", (fleet.name for fleet in made))
    _unique(found, at, "node", (node.name for fleet in made for node in fleet.nodes))
    return tuple(made)


def missing(found: Document, at: tuple[int | str, ...], path: Path) -> ScenarioError:
    """That a file which a scenario names is not there."""
    text = f"there is no file {path}; files are looked for beside the one that names them"
    return ScenarioError([Problem(found.file, found.line(at), field_name(at, found.value), text)])


def _unique(found: Document, at: tuple[int | str, ...], what: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        count = f"{len(twice)} {what} names occur" if len(twice) > 1 else f"a {what} name occurs"
        text = f"{count} more than once: {', '.join(twice[:3])}; give each {what} a name of its own"
        raise ScenarioError([Problem(found.file, found.line(at), field_name(at, found.value), text)])


def _model(path: Path) -> tuple[tuple[Pool, ...], Document]:
    """The pools of a cluster model."""
    found = document(str(path), text_of(path))
    pools = found.value.get("pools")
    if not isinstance(pools, list):
        raise ScenarioError([Problem(found.file, found.line(("pools",)), "pools", "must be a list of pools")])
    plain = found._replace(value={"pools": [_plain(pool) for pool in pools]})
    cluster = checked(Cluster, plain)
    return cluster.pools or (), plain


def _plain(pool: Any) -> Any:
    """A pool of a model as a pool of a scenario."""
    if not isinstance(pool, dict):
        return pool
    kept = {key: value for key, value in pool.items() if key not in ("cpu", "memory", "pods", "annotations")}
    own = {key: pool[key] for key in ("cpu", "memory", "pods") if key in pool}
    more = pool.get("resources") or {}
    kept["resources"] = {**own, **more} if isinstance(more, dict) else more
    if isinstance(pool.get("levels"), list):
        kept["levels"] = [
            {key: value for key, value in level.items() if key != "label"} if isinstance(level, dict) else level
            for level in pool["levels"]
        ]
    return kept


def _fleet(pool: Pool, found: Document, at: tuple[int | str, ...], base: Path) -> Fleet:
    levels = tuple(level.name for level in pool.levels)
    each = amounts(pool.resources, found, (*at, "resources"))
    each = {"pods": _PODS, **each, pool.device.resource: pool.device.count}
    if pool.hosts is not None:
        nodes = [_listed(pool, host, each, found, (*at, "hosts", n)) for n, host in enumerate(pool.hosts)]
    else:
        rows = _regular(pool) if pool.topology is None else _from_file(pool, found, at, base)
        nodes = [Node(name, path, each, pool.labels) for name, path in rows]
    if not nodes:
        text = "has no node; a pool needs at least one"
        raise ScenarioError([Problem(found.file, found.line(at), field_name(at, found.value), text)])
    _, ordered = Tree.build(pool.name, levels, nodes)
    return Fleet(pool.name, pool.device.resource, levels, tuple(ordered), pool.sizes, pool.sizes_alone)


def amounts(given: Mapping[str, str | int], found: Document, at: tuple[int | str, ...]) -> dict[str, int]:
    """Quantities as integers. Raises ScenarioError."""
    read, problems = {}, []
    for name, quantity in given.items():
        try:
            read[name] = amount(name, quantity)
        except ValueError as error:
            path = (*at, name)
            text = str(error).removeprefix(f"{name}: ")
            problems.append(Problem(found.file, found.line(path), field_name(path, found.value), text))
    if problems:
        raise ScenarioError(problems)
    return read


def _listed(pool: Pool, host: ListedNode, each: Mapping[str, int], found: Document, at: tuple[int | str, ...]) -> Node:
    if len(host.domains) != len(pool.levels):
        names = ", ".join(level.name for level in pool.levels)
        text = f"domains: there are {len(host.domains)}; one for each level of the pool is needed: {names or 'none'}"
        raise ScenarioError([Problem(found.file, found.line(at), field_name(at, found.value), text)])
    has = {**each, **amounts(host.resources, found, (*at, "resources"))} if host.resources else dict(each)
    for name, taken in amounts(host.taken, found, (*at, "taken")).items():
        has[name] = max(0, has.get(name, 0) - taken)
    taints = tuple(Taint(taint.key, taint.value, taint.effect) for taint in host.taints)
    labels = {**pool.labels, **host.labels}
    return Node(host.name, host.domains, has, labels, taints, cordoned=host.cordoned)


def _regular(pool: Pool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names and paths of a regular tree: `h800-spine1-leaf2-node3`, numbers of equal width."""
    counts = [*(level.count or 0 for level in pool.levels), pool.nodes or 0]
    steps = [*(level.name for level in pool.levels), "node"]
    for numbers in itertools.product(*(range(1, count + 1) for count in counts)):
        parts = [
            f"{step}{number:0{len(str(count))}}" for step, number, count in zip(steps, numbers, counts, strict=True)
        ]
        names = list(itertools.accumulate([pool.name, *parts], lambda above, part: f"{above}-{part}"))
        yield names[-1], tuple(names[1:-1])


def _from_file(pool: Pool, found: Document, at: tuple[int | str, ...], base: Path) -> list[tuple[str, tuple[str, ...]]]:
    assert pool.topology is not None, "this pool is read from a file"
    path = base / pool.topology.file
    if not path.is_file():
        raise missing(found, (*at, "topology", "file"), path)
    columns = {pool.topology.node: "topology.node"} | {level.column or "": "levels[].column" for level in pool.levels}
    table = tables.read(path, columns)
    rows: list[tuple[str, tuple[str, ...]]] = []
    lines: dict[str, int] = {}
    problems = []
    for line, cells in table:
        node = cells[pool.topology.node]
        domains = [cells[level.column or ""] for level in pool.levels]
        for column, cell in zip(
            [pool.topology.node, *(level.column for level in pool.levels)], [node, *domains], strict=True
        ):
            if not cell:
                problems.append(
                    Problem(str(path), line, str(column), "is empty; every node has a name and its domains")
                )
        if node in lines:
            text = f"{node!r}: stands in line {lines[node]} already; one row a node"
            problems.append(Problem(str(path), line, pool.topology.node, text))
        lines[node] = line
        rows.append((node, tuple(itertools.accumulate(domains, lambda above, part: f"{above}-{part}"))))
    if problems:
        raise ScenarioError(tables.some(problems))
    return rows
