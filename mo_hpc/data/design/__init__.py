"""Designs: from a few lines of configuration to structures, VASP inputs and, later, datasets."""
