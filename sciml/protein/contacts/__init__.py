"""Contacts and distances from alignments, and families to learn them from."""
