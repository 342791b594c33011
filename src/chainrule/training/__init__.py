"""Training: optimisers, schedules, batches, callbacks, and the loop that joins them."""
