"""Decide, log, apply: the only writer of a volume."""
