"""Data sets: their cards, downloads, generators and checks."""
