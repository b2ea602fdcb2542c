"""What the operator measures of itself and of the cluster, for Prometheus.

Two sorts. What happens is counted where it happens (`process`): requests, cycles, decisions. What is there is counted
when somebody scrapes (`state`, `watches`), from the mirror as it stands: nothing is kept in step by hand, so nothing
drifts, and labels of what is gone go with it.

Every metric is defined once (`definition`); the reference is written from that. Labels are bounded by what an
administrator sets up (pools, levels) and by closed sets (states, reasons, verbs): never by what users name.
"""
