"""Who may ask: accounts, keys, passwords, web sessions, quotas."""
