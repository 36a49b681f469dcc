"""Whether this installation can do the work: what `python -m mo_hpc.selfcheck` looks at."""
