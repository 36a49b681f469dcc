"""Domain checks: what a model says of the metal, beside published values."""
