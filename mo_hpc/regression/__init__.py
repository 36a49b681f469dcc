"""The nightly check: metrics of a small grid against a reference that a team has accepted."""
