"""Scenarios: what a run of the simulator is asked for, in a YAML file that a person writes or `berth snapshot` does.

    fields    types that fields have in common: durations, counts, shares
    schema    the models: what may stand in a scenario, with a docstring for every field (`docs/reference/scenario.md`)
    problems  mistakes, told by file, line and field
    reading   from text to a checked scenario; every mistake is told with its line, all of a file at once
    fleets    clusters: regular trees, topology files, listed nodes
    tables    CSV files, by line and column
    traces    workloads in CSV files
    drawing   what is drawn, each from a stream of its own
    tasks     jobs of a trace or a draw, with what they declare; listed: jobs one by one
    checks    what only the whole scenario can tell
    cases     the product: one case for each load, slowdown, seed and policy
    live      the present cluster as a scenario
    whatif    the same scenario with fields of one job changed

Everything random comes from the seed of the scenario and from nothing else: runs of one seed differ in the policy, the
load or the slowdown alone, and can be compared pair by pair.
"""
