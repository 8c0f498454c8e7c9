"""A formula from data."""
