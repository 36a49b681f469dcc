"""Labelling structures: energies and forces from any ASE calculator, with every relaxation step."""
