"""Faults between the operator and the API server, at exact moments.

    with FaultProxy(plane.kubeconfig, directory) as proxy, OperatorProcess(proxy.kubeconfig, directory) as operator:
        crash = proxy.crash(operator, on=calls(verb="create", resource="pods"), nth=3, moment=Moment.BEFORE)
        ...
        crash.wait(timeout_s=10)          # killed: two pods are there, the third was never asked for
        operator.start()

The operator speaks plain HTTP to a proxy on loopback, and the proxy speaks to the real API server in its place. No
part of the operator knows; what is tested is the process that is delivered.
"""
