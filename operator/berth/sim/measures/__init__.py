"""The measures, one room each: every one is told in `docs/reference/metrics-of-quality.md` before it is computed here.

They read a record and its case alone, in integers as far as the measure is one. `berth.sim.quality` puts them together.
"""
