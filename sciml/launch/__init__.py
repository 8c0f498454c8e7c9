"""Launchers: existing engines for sweeps and clusters, around the same recipes."""
