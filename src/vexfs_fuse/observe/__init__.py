"""Metrics in one table, and logging."""
