"""What every other layer stands on: configuration, records, files and errors.

Nothing here imports torch, mace, ase, pandas, numpy or matplotlib.
"""
