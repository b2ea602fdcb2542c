"""Carrying a plan out in a cluster: statuses, pods, Services and events, in the order that survives a crash.

Nothing is decided here. A decision's status is written before its pods are touched; whatever the API server answers
goes into the mirror, and the next cycle sees it.
"""
