"""Makes of accelerators, as data: what a device is called, how devices sit in a node, what may be asked for.

A new make is a new file under `catalogue/`, never code. Only two things about a make need code, and a profile names
the hook for each: how chosen device ids are handed to the node's plugin, and which environment a runtime wants.
"""
