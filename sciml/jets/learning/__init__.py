"""Pretraining and fine-tuning on jets, and the bars that they have to clear."""
