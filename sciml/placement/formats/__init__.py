"""Netlists and floorplans from files and to files."""
