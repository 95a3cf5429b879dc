"""Shared by tests: made data, reference numerics, commands in processes."""
