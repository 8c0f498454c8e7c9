"""Files of proteins: alignments, sequences, structures, hits, and what they hold."""
