"""How often a scanner is right, ours beside those of today, on the same files: `make trust`."""
