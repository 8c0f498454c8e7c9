"""Protein language models: ESM-2 of sequences, MSA Transformer of alignments, and their files."""
