#!/usr/bin/env bash
# From a login node: plan a grid, look at it, then submit what is missing.
#   bash jobs/grid.sh site=NAME grid=lodo_full dataset=mo420_replica
set -euo pipefail
python=${MO_HPC_PYTHON:-.venv/bin/python}
"$python" -m mo_hpc.launch "$@" executor=slurm --dry-run
read -r -p "Submit? [y/N] " answer
[[ $answer == y ]] || exit 0
exec "$python" -m mo_hpc.launch "$@" executor=slurm
