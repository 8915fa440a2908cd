"""Faults on real servers and real processes: seeded, bounded, and told in figures.

`python -m tests.chaos` runs them at full length; the tests of this package run the same with small numbers.
"""
