"""Decisions, and nothing else: a frozen snapshot and a time go in, a plan comes out.

No I/O, clock, randomness, logging, pydantic or Kubernetes type enters here, so that the simulator and the operator run
the same code, and so that the same snapshot gives the same plan, byte for byte.

Rooms, one idea each: `topology` (the network tree), `slots` (who fits on a node, and free-slot counts kept current),
`affinity` (required node affinity), `layout` and `numbering` (devices that are chosen by id), `placement` (contiguous
best fit), `grouping` (the same for groups of ranks), `admission` (one gang against the pools), `future` (what will be
taken when), `backfill` (who may pass whom), `spares` (nodes kept free), `lifecycle` (one job, from its facts and pods
to its next step), `devices` (what a replica really got), `cycle` (the steps of a cycle), `plan` (the decisions),
`explain` (reason to text).
"""
