"""A fleet whose tools are simulated: the workflows, workers, broker, tracker and rollouts are the real ones."""
