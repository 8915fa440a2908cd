"""The truth about models, versions and ingestions: tables, their migrations, and two registries that pass one contract.

    sql.SqlRegistry         SQLite or PostgreSQL through SQLAlchemy
    memory.MemoryRegistry   the same in one process, for tests and try-outs
    migrate.migrate         brings a database to the tables of this code; `migrate.pending` tells what is missing

Nothing is imported here: SQLAlchemy and Alembic are paid for by those who name them.
"""
