"""Ordinary differential equations of first and second order."""
