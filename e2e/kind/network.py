"""Pods of different nodes reach each other: what kind's own CNI image does, done from outside.

Our node image has no CNI daemon: the nodes of a test are known, so each gets its CNI settings and one route to every
other node's pods, once. Nothing is masqueraded, as nothing outside the nodes' bridge is talked to. A node that was
started again has lost its routes: connect again.
"""

import json

from e2e.ground.api import Api, JsonObject
from e2e.ground.waiting import until
from e2e.kind.daemon import Docker

_CNI = "/etc/cni/net.d/10-berth.conflist"
_ASSIGN_S = 60.0


def connect(docker: Docker, api: Api, nodes: list[str]) -> None:
    """Write CNI settings and routes on the named nodes, which are containers and Nodes of that name."""

    def assigned() -> dict[str, tuple[str, str]] | None:
        found = {node["metadata"]["name"]: node for node in api.get("/api/v1/nodes")["items"]}
        if not all(name in found and "podCIDR" in found[name]["spec"] for name in nodes):
            return None
        return {name: (found[name]["spec"]["podCIDR"], _address(found[name])) for name in nodes}

    ranges = until(assigned, f"nodes {', '.join(nodes)} to be given addresses for pods", timeout_s=_ASSIGN_S)
    assert ranges is not None
    for name in nodes:
        settings = json.dumps(_settings(ranges[name][0])).encode()
        docker.run("exec", "-i", name, "mkdir", "-p", "/etc/cni/net.d")
        for other, (pods, address) in ranges.items():
            if other != name:
                docker.run("exec", name, "ip", "route", "replace", pods, "via", address)
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
