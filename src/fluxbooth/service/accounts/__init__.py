"""Accounts, keys, passwords, web sessions, quotas."""
