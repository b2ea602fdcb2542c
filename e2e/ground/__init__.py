"""The ground: a real Kubernetes control plane with simulated nodes, on one machine, without images.

Tests, the demo and the benchmarks stand on it.  Nothing here is a double of Kubernetes: etcd, the API server,
the controller manager and the scheduler are the released ones, built once from their Go modules; only the
kubelets are simulated, by KWOK.  What can therefore be measured here is everything up to the kubelet.

    binaries      finds or builds the programs          model    what the cluster looks like
    pki           certificates and kubeconfigs          nodes    simulated nodes from a model
    processes     child processes that never outlive us stages   how long simulated pods run, how they end
    controlplane  the five programs as one thing
"""
