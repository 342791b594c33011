"""Models that last: what answers questions, and its file."""
