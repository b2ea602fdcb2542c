"""Berth on real kubelets: a kind cluster, with a registry or without one.

Where images can be pulled, kind's own node image is taken. Elsewhere everything is made here: a Docker daemon unpacked
from Debian packages, never installed; a node image from Debian packages and programs built from Go modules. What is
made is kept by version under the cache (`$BERTH_CACHE`, by default ~/.cache/berth) and in Docker's own store.

    doctor   whether kind can start on this machine, and why not
    trial    what containers take of a kernel, tried
    daemon   a Docker that is there, or one of our own without a trace on the host
    capfit   what our Docker starts containers with, where the host withholds a capability
    system   the images of Kubernetes' own programs
    node     the node image that holds them
    network  pods reach each other: CNI settings and routes, in place of kind's own CNI image
    cluster  a cluster from create to delete: accelerators, labels, images, lost nodes
    install  Berth in the cluster

``python -m e2e.kind --help`` has the commands.
"""
