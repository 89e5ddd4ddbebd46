"""What is claimed about speed, measured: one command for each claim, JSON out."""
