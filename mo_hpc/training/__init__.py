"""Training and evaluation of MACE models."""
