"""The simulator: the cluster's own decisions (`core.cycle`) under a virtual clock, on real or drawn workloads.

A scenario file becomes cases (`scenario`), a case one run by the engine under a policy (`engine`, `policies`), a run a
record of what happened to every job and node (`record`), and a record the tables, lines and plots that people read
(`quality`, `report`). Only `engine` and `policies` know how decisions are made; what judges them reads records alone.
"""
