"""Training: one loop for all networks, with a task, config and sampler per network."""
