"""HTTP to the API server: connection, writes, mirrors of kinds, events.

Why not the typed client of the official package: it spends 2.9-3.4 ms of CPU on a write and needs a gigabyte
to list 10,000 pods. Berth sends and keeps plain JSON and decodes each object once, so a write costs a
fraction of a millisecond. What the official package does well, reading kubeconfigs and running login plugins,
is taken from it.

Nothing in here knows what a gang or a device is.
"""
