"""Jobs: the queue, their order, their callbacks."""
