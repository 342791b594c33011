"""Insight: traces, diagnosis, evaluation and recordings of a network and its training."""
