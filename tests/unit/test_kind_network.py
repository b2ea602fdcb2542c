"""Pods of different nodes reach each other by settings and routes that are written from outside."""

import json
from pathlib import Path
from typing import Any

from e2e.kind.daemon import Docker
from e2e.kind.network import assigned, write


def node(name: str, pods: str | None, *addresses: str) -> dict[str, Any]:
    """A Node as the API server has it."""
    found = [{"type": "Hostname", "address": name}, *({"type": "InternalIP", "address": each} for each in addresses)]
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": pods} if pods else {},
        "status": {"addresses": found},
    }


def test_all_nodes_have_to_be_given_addresses_first() -> None:
    """One that is not registered yet, or has no range, is waited for; nodes of nobody's interest are not."""
    first, second = node("a", "10.0.0.0/24", "172.18.0.2"), node("b", "10.0.1.0/24", "172.18.0.3")
    assert assigned([first], ["a", "b"]) is None
    assert assigned([first, node("b", None, "172.18.0.3")], ["a", "b"]) is None
    assert assigned([first, second, node("c", None)], ["a", "b"]) == {
        "a": ("10.0.0.0/24", "172.18.0.2"),
        "b": ("10.0.1.0/24", "172.18.0.3"),
    }


def test_the_address_is_that_of_the_family_that_pods_have() -> None:
    """A node with addresses of both families is reached by the older one, whichever comes first."""
    found = assigned([node("a", "10.0.0.0/24", "fc00::2", "172.18.0.2")], ["a"])
    assert found == {"a": ("10.0.0.0/24", "172.18.0.2")}


def test_each_node_gets_a_route_to_every_other_and_settings_for_its_own_pods(tmp_path: Path) -> None:
    """A program that notes what it is asked stands in for docker; no node gets a route to itself."""
    docker = noting(tmp_path)

    write(docker, {"a": ("10.0.0.0/24", "172.18.0.2"), "b": ("10.0.1.0/24", "172.18.0.3")})

    assert (tmp_path / "asked").read_text().splitlines() == [
        "exec a mkdir -p /etc/cni/net.d",
        "exec a ip route replace 10.0.1.0/24 via 172.18.0.3",
        "exec -i a cp /dev/stdin /etc/cni/net.d/10-berth.conflist",
        "exec b mkdir -p /etc/cni/net.d",
        "exec b ip route replace 10.0.0.0/24 via 172.18.0.2",
        "exec -i b cp /dev/stdin /etc/cni/net.d/10-berth.conflist",
    ]
    settings = [json.loads(line) for line in (tmp_path / "stdin").read_text().splitlines()]
    assert [each["plugins"][0]["ipam"]["ranges"] for each in settings] == [
        [[{"subnet": "10.0.0.0/24"}]],
        [[{"subnet": "10.0.1.0/24"}]],
    ]
    assert [plugin["type"] for plugin in settings[0]["plugins"]] == ["ptp", "portmap"]


def noting(directory: Path) -> Docker:
    """A `docker` that writes down its arguments, and what it reads where it is given something to read."""
    program = directory / "docker"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {directory}/asked\nif [ "$2" = -i ]; then cat >> {directory}/stdin; '
        f"echo >> {directory}/stdin; fi\n"
    )
    program.chmod(0o755)
    return Docker({"PATH": f"{directory}:/usr/bin:/bin"}, own=False)
