"""Datasets: registry, readers, checks, the index, downloads and generated data."""
