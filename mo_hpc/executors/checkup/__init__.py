"""What `mo_hpc.doctor` looks at: Slurm, folders, and a compute node through a test job."""
