"""Looking at a run under way: states, progress, cost, output; and taking tasks back."""
