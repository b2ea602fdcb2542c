"""A training gang without a framework: forms a rendezvous from what Berth put into the environment, and nothing else.

Rank 0 listens on the port that all were told; the others find it by its name in the cluster's DNS and present their
rank. When all are there each is told how many devices the gang has, "trains" for TRAINER_SECONDS, and exits with 0.
TRAINER_FAIL="RANK:ATTEMPT:CODE" makes one rank of one attempt exit with CODE after the meeting.
"""

import json
import os
import signal
import socket
import sys
import time
from typing import Any

PATIENCE_S = 120.0


def main() -> int:
    """Meet, train, and end; the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ranks, rank = int(os.environ["PET_NNODES"]), int(os.environ["PET_NODE_RANK"])
    me = {"id": os.environ["PET_RDZV_ID"], "rank": rank, "devices": int(os.environ["PET_NPROC_PER_NODE"])}
    port = int(os.environ["PET_MASTER_PORT"])
    world = lead(port, me, ranks) if rank == 0 else join(os.environ["PET_MASTER_ADDR"], port, me)
    print(json.dumps({"rank": rank, **world}), flush=True)
    time.sleep(float(os.environ.get("TRAINER_SECONDS", "0")))
    if os.environ.get("TRAINER_FAIL", "").startswith(f"{rank}:{os.environ['BERTH_ATTEMPT']}:"):
        return int(os.environ["TRAINER_FAIL"].rpartition(":")[2])
    return 0


def lead(port: int, me: dict[str, Any], ranks: int) -> dict[str, Any]:
    """Gather all ranks, then tell them."""
    members, peers = {0: me}, []
    with socket.create_server(("", port)) as server:
        server.settimeout(PATIENCE_S)
        while len(members) < ranks:
            peer, _ = server.accept()
            peer.settimeout(PATIENCE_S)
            presented = json.loads(peer.makefile().readline())
            if presented["id"] == me["id"]:
                members[presented["rank"]] = presented
                peers.append(peer)
            else:
                peer.close()
    world = {"ranks": sorted(members), "devices": sum(member["devices"] for member in members.values())}
    for peer in peers:
        peer.sendall(json.dumps(world).encode() + b"\n")
        peer.close()
    return world


def join(host: str, port: int, me: dict[str, Any]) -> dict[str, Any]:
    """Present oneself to rank 0, as soon as its name is known and it listens."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with socket.create_connection((host, port), timeout=10) as peer:
                peer.settimeout(PATIENCE_S)
                peer.sendall(json.dumps(me).encode() + b"\n")
                world: dict[str, Any] = json.loads(peer.makefile().readline())
                return world
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
