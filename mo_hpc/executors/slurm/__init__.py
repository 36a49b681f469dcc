"""Slurm: arrays, their ledger, and what the cluster says of them."""
