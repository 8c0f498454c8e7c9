"""Layers: attention with a pair bias, triangle updates, frames, tensor products, neighbours.

Domain-free and parameter-name stable: published weights fit by renaming alone.
"""
