"""Training: the run, its loop and guard, optimizers, schedules and callbacks."""
