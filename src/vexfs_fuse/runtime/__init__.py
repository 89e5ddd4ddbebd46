"""Trio: the composition root and the background tasks."""
