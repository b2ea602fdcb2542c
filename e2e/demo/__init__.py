"""The demo: a real control plane, 847 simulated hosts, the jobs of a real cluster, and Berth placing them, live.

`make demo` shows in about two minutes what Berth is for. Nothing in it is staged: the gangs are submitted as
TrainingJobs to a real API server, Berth runs as its own process, and every figure is read back from the API server.

    workload   the gangs, and the rule that presses 90 days into a minute
    stage      control plane, nodes, CRDs, pool and operator: what has to stand before the first gang
    board      what the API server says about the gangs, and the laws that must hold at every moment
    pods       samples of the pods, as a second witness
    view       the picture on the terminal
    summary    the figures at the end
    show       submitting, watching and drawing, side by side
"""
