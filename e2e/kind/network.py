"""Pods of different nodes reach each other: what kind's own CNI image does, done from outside.

Our node image has no CNI daemon: the nodes of a test are known, so each gets its CNI settings and one route to every
other node's pods, once. Nothing is masqueraded, as nothing outside the nodes' bridge is talked to. A node that was
started again has lost its routes: connect again.
"""

import json
from collections.abc import Iterable, Mapping

from e2e.ground.api import Api, JsonObject
from e2e.ground.waiting import until
from e2e.kind.daemon import Docker

_CNI = "/etc/cni/net.d/10-berth.conflist"
_ASSIGN_S = 60.0


Ranges = Mapping[str, tuple[str, str]]
"""By node: the addresses of its pods (a CIDR), and its own address, to which other nodes send what is for them."""


def connect(docker: Docker, api: Api, nodes: list[str]) -> None:
    """Write CNI settings and routes on the named nodes, which are containers and Nodes of that name."""
    ranges = until(
        lambda: assigned(api.get("/api/v1/nodes")["items"], nodes),
        f"nodes {', '.join(nodes)} to be given addresses for pods",
        timeout_s=_ASSIGN_S,
    )
    assert ranges is not None
    write(docker, ranges)


def assigned(found: Iterable[JsonObject], names: Iterable[str]) -> Ranges | None:
    """What the cluster has given to the named Nodes; None as long as one of them is missing or has nothing."""
    nodes = {node["metadata"]["name"]: node for node in found}
    if not all("podCIDR" in nodes.get(name, {}).get("spec", {}) for name in names):
        return None
    return {name: (nodes[name]["spec"]["podCIDR"], _address(nodes[name])) for name in names}


def write(docker: Docker, ranges: Ranges) -> None:
    """Settings and routes of each node. The settings come last: a kubelet is Ready from then on."""
    for name, (own, _) in ranges.items():
        docker.run("exec", name, "mkdir", "-p", "/etc/cni/net.d")
        for other, (pods, address) in ranges.items():
            if other != name:
                docker.run("exec", name, "ip", "route", "replace", pods, "via", address)
        settings = json.dumps(_settings(own)).encode()
        docker.run("exec", "-i", name, "cp", "/dev/stdin", _CNI, stdin=settings)


def _settings(pods: str) -> JsonObject:
    """A veth pair for each pod, addresses from the node's range."""
    ranges = {"type": "host-local", "dataDir": "/run/cni-ipam-state", "routes": [{"dst": "0.0.0.0/0"}]}
    pair = {"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": {**ranges, "ranges": [[{"subnet": pods}]]}}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "berth", "plugins": [pair, ports]}


def _address(node: JsonObject) -> str:
    found = [entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"]
    return str(next(address for address in found if ":" not in address))
