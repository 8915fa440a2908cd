"""Bytes in, facts out: which models lie below a path and what they say of themselves, without loading a framework."""
