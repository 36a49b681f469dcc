"""Metrics as pure functions of reference and predicted values (numpy only)."""
