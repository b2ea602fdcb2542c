"""Decisions, and nothing else: a frozen snapshot and a time go in, a plan comes out.

No I/O, clock, randomness, logging, pydantic or Kubernetes type enters here, so that the simulator and the operator run
the same code, and so that the same snapshot gives the same plan, byte for byte.

Rooms, one idea each: `topology` (the network tree), `slots` (who fits on a node, and free-slot counts kept current),
`affinity` (required node affinity), `layout` and `numbering` (devices that are chosen by id), `placement` (contiguous
best fit), `grouping` (the same for groups of ranks), `batch` (gangs that start together), `admission` (one gang against
the pools), `stays` and `calendar` (who holds what until when), `vacancies` (what comes free where), `picture` (ledgers
of a time to come), `future` (places ahead), `patience` (who waits for a better one), `backfill` (who may pass whom),
`spares` (nodes kept free), `lifecycle` (one job, from its facts and pods to its next step), `faults`, `charges` and
`repair` (what goes wrong, who answers for it, how a gang goes on), `devices` (what a replica really got), `cycle` (the
steps of a cycle), `plan` (the decisions), `waiting`, `shortages`, `changes` and `explain` (why not, what would help, in
words), `census` (what a pool holds).
"""
