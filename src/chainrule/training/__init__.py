"""Training: the run, its loop and guard, optimizers, schedules, callbacks and checkpoints."""
