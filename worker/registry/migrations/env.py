"""What Alembic runs to migrate: the revisions on the connection that `worker.registry.migrate` has opened.

A new revision, compared with a database at the last one (URL), goes to `versions/`, its name to `migrate.REVISIONS`:

    from alembic import command
    from worker.registry.engine import open_engine
    from worker.registry.migrate import configuration

    config = configuration()
    with open_engine(URL).begin() as config.attributes["connection"]:
        command.revision(config, "what it changes", autogenerate=True, rev_id="0006")

It only adds: older code goes on to work beside it (`worker.registry.migrate`). A column has a default in the database or may be
null, and what new code reads of it, it can do without in rows that older code writes.
"""

from __future__ import annotations

from typing import Literal

from alembic import context
from sqlalchemy.types import TypeDecorator

from worker.registry.tables import BESIDE, metadata


def plain_type(kind: str, item: object, autogenerate: object) -> str | Literal[False]:
    """Return how a type of our own is written in a revision: as the database's type below it, which stays when ours changes."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


def is_compared(name: str | None, kind: str, parents: object) -> bool:
    """Tell whether what the database has is compared with the tables of this code."""
    return name not in BESIDE


# SQLite cannot alter a table in most ways: "batch" copies it instead, and is an ordinary ALTER on other databases.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    render_item=plain_type,
    include_name=is_compared,
)
context.run_migrations()
