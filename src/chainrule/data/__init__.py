"""Data: from tables to matrices."""
