"""Why tasks are not done: classes, evidence, diagnosis, and the log of failures."""
