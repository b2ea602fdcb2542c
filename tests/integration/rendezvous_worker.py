"""A stand-in for torchrun: forms a rendezvous from `PET_*` alone, and says what came of it.

    rendezvous_worker.py HOSTS.json

HOSTS.json maps host names to `[address, port]`, in place of a cluster's DNS. Rank 0 listens where its own name leads;
the others connect there and present job, attempt and rank. When all are there each gets the list of ranks, prints it
and exits with 0. Who presents another rendezvous id is turned away and exits with 3.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

TURNED_AWAY = 3
PATIENCE_S = 15.0


def main() -> int:
    """Join or lead the rendezvous that the environment names; the exit code."""
    ranks, rank = int(os.environ["PET_NNODES"]), int(os.environ["PET_NODE_RANK"])
    hosts = json.loads(Path(sys.argv[1]).read_text())
    address, port = hosts[os.environ["PET_MASTER_ADDR"]]
    me = {"id": os.environ["PET_RDZV_ID"], "rank": rank, "devices": int(os.environ["PET_NPROC_PER_NODE"])}
    found = lead(address, port, me, ranks) if rank == 0 else join(address, port, me)
    sys.stdout.write(json.dumps(found) + "\n")
    return TURNED_AWAY if "refused" in found else 0


def lead(address: str, port: int, me: dict[str, Any], ranks: int) -> dict[str, Any]:
    """Gather all ranks, then tell them."""
    members = {0: me}
    peers = []
    with socket.create_server((address, port)) as server:
        server.settimeout(PATIENCE_S)
        while len(members) < ranks:
            peer, _ = server.accept()
            peer.settimeout(PATIENCE_S)
            presented = json.loads(peer.makefile().readline())
            if presented["id"] != me["id"]:
                send(peer, {"refused": f"this is {me['id']}, not {presented['id']}"})
                peer.close()
                continue
            members[presented["rank"]] = presented
            peers.append(peer)
        world = {"ranks": sorted(members), "devices": sum(member["devices"] for member in members.values())}
        for peer in peers:
            send(peer, world)
            peer.close()
    return world


def join(address: str, port: int, me: dict[str, Any]) -> dict[str, Any]:
    """Present oneself to rank 0, as soon as it listens."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            peer = socket.create_connection((address, port), timeout=PATIENCE_S)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            break
    with peer:
        send(peer, me)
        answer: dict[str, Any] = json.loads(peer.makefile().readline())
    return answer


def send(peer: socket.socket, what: dict[str, Any]) -> None:
    """Send one line."""
    peer.sendall(json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
