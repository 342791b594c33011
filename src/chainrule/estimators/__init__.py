"""Estimators for scikit-learn: its own interface, on this library's engine."""
