"""Rows in, rows out: tasks, sampled solutions."""
