"""Trained models: ensembles, predictors for tables, and the model file."""
