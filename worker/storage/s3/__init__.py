"""Object storage: reading models where they lie, and keeping versions as plain prefixes."""
