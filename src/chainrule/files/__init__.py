"""Files: the container of arrays and a document, models in it, and checkpoints of a training run."""
