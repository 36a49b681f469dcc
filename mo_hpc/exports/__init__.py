"""Models on their way out: calculators, LAMMPS forms, and the card that goes with them."""
