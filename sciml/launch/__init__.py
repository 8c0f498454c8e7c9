"""Launchers beyond one process: existing engines for sweeps and clusters around the same recipes."""
