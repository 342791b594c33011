"""Models of tables: the recipe, the members and their ensemble, calibration, and the predictor."""
