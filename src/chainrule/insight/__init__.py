"""Insight: what happens inside a network, as numbers and sentences."""
