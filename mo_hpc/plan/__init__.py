"""Plans and their state: which tasks there are, and what became of each."""
