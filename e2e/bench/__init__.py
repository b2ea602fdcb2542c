"""Benchmarks: every figure is one JSON line on stdout, `{"name", "value", "unit", "goal", "conditions"}`.

Progress goes to stderr, so that a pipe gets figures and nothing else. A figure is the median of many repetitions in
one process on one core; where the rule of a peer can run in the same process, it does, and its value stands in the
conditions. Nothing here asserts a time: a benchmark reports.

    figures     what a figure is, the registry, timing
    fleets      pools of any size with a given share of their nodes taken
    kueue_tas   a plain re-implementation of the placement rule that Kueue publishes
    decisions   figures of the heart: place_10000, snapshot_10000
    placing     figures of placement: pilot_060, pilot_085, referee
    scrape      scrape_5000: a scrape of the operator's metrics
    simulator   lingjun_060, lingjun_085, itp_replay: how gangs sit and how long a replay takes
    gang_512    a gang of 512 pods on a real API server, from apply to all bound, by either binding
    standing    a large cluster in full swing, most of it put straight into etcd
    start_5000  an operator started on one: seconds to its first cycle, and its memory

`python -m e2e.bench [--only NAME]` runs them. A benchmark that needs the control plane is an async function.
"""
