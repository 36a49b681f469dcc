"""Python inside a container image: which file it is, and how a process gets into it."""
