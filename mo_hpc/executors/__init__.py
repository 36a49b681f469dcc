"""Ways to run tasks: in this process, in subprocesses, on Slurm."""
