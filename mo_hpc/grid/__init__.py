"""Grids in plain Python: axes, splits and leakage audits (no heavy imports)."""
