"""The commands for people: `kubectl berth ...` and `berth ...`. They read, and explain; only `release` writes."""
