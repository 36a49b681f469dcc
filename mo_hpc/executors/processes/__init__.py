"""Tasks as processes of one machine, and the schedule that starts them."""
