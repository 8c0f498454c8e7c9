"""Random problems with their solutions, compiled."""
