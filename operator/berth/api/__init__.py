"""The wire contract: what users write and read, as pydantic models, and what is generated from them.

`core` never sees these types: `cluster` translates them. Names that both sides of the API server must spell
alike (labels, annotations, finalizers) stand once, in `names`.
"""
