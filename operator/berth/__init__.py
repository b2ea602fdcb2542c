"""Berth: berths training gangs on mixed accelerators, contiguously, by contract, and says why."""

__version__ = "0.1.0"
