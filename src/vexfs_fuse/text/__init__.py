"""Text: what files say, cut into passages, embedded and indexed; runs beside the daemon."""
