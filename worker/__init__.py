"""The service around the detectors: it decides what to do with a finished experiment's models, and does it."""
