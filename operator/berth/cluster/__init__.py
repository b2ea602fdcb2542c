"""The mirror: what the API server holds, as core types, in memory, with what was just written counted in.

It only mirrors. Reflectors and handlers put objects in, `snapshot` hands out what a cycle needs; how decisions are
made is not known here.
"""
