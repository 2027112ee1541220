"""The processes that do the work: the host's worker, and a process for each device."""
