"""Alembic's environment and the revisions of the registry's tables. Used through `worker.registry.migrate`."""
