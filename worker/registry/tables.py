"""Every table of the registry, in one place.

`migrations/` builds these tables step by step; a test proves that it arrives exactly here. No type is SQLite's alone.
Text that may come from outside is `AnyText`; times are moments in UTC.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    false,
    literal,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from worker import lifecycle
from worker.registry.columns import AnyText, Json, Moment

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _sequence() -> Column[int]:
    """Return the column that counts rows in the order of their writing; clocks of workers may differ, this does not."""
    return Column("sequence", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True)


ingestions = Table(
    "ingestions",
    metadata,
    _sequence(),
    Column("id", AnyText, nullable=False, unique=True),
    # A digest of team, source and event id: the key that makes a repeated event the same ingestion.
    Column("event_key", Text, nullable=False, unique=True),
    Column("source", AnyText, nullable=False),
    Column("event_id", AnyText, nullable=False),
    Column("model_path", AnyText, nullable=False),
    Column("team", AnyText, nullable=False),
    Column("project", AnyText, nullable=False),
    Column("experiment", AnyText),
    Column("declared_type", Text),
    Column("name", AnyText),
    Column("trigger", Text, nullable=False),
    # Where it stands now; every step to it is a row of ingestion_history, written in the same transaction.
    #   received       written by submit and retry, owner null; claim makes it running
    #   waiting        written by wait and free, owner null; claim makes it running once run_after has passed
    #   running        written by claim, owner and lease_until set; its owner makes it waiting or an end, beat renews the
    #                  lease, free takes it away when it has run out
    #   registered     end, written by register with its version; answered_version is version_id
    #   unchanged      end, written by finish; answered_version is the version of equal content
    #   nothing_found  end, written by finish
    #   failed         end, written by finish and free, with the reason that a person reads; retry makes it received
    #   discarded      end, written by discard
    #   ignored        end, written by submit
    # The transitions themselves are `worker.lifecycle.MOVES`.
    Column("state", Text, nullable=False),
    Column("reason", AnyText),
    Column("message", AnyText),
    Column("attempts", Integer, nullable=False),
    # Each attempt gets its own, so that it writes to its own prefix of the store: who lost the lease spoils nothing.
    Column("version_id", AnyText, nullable=False, unique=True),
    # Null before the end. No foreign key: it and model_versions.ingestion_id would form a ring, and no version is ever removed.
    Column("answered_version", AnyText),
    # Set exactly while the state is running. Who is not the owner changes nothing: that is the fence.
    Column("owner", AnyText),
    Column("location", AnyText),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    # What the event says beside the columns above: kind, cluster, state, git, named files, whether it is forced; and the span
    # that its attempts follow from, which a retry replaces.
    Column("details", Json, nullable=False, server_default="{}"),
    # A digest of all that the event says. The same event key with another one is refused. Null before revision 0002.
    Column("event_digest", Text),
    # Which turn of its team it is, given at submit and after each pause. What is claimed next is the lowest one, so teams take
    # turns. Beyond `lifecycle.PAUSED` it is none: the pause must be over first, and `line.let_in` give it one.
    Column("turn", BigInteger, nullable=False, server_default="1"),
    # What it went through, kept across workers: see records.SoFar and records.Rest.
    Column("failed_tries", Integer, nullable=False, server_default="0"),
    Column("changes", Integer, nullable=False, server_default="0"),
    Column("waited_seconds", Double, nullable=False, server_default="0"),
    Column("rest", Json),
    # Null, or not to be claimed before. By the clock of the registry, like lease_until, which is set while it runs.
    Column("run_after", Moment),
    Column("lease_until", Moment),
    # That of the primary model that the last look found; null where none came so far, and before revision 0012 unless it was
    # answered with a version.
    Column("format", Text),
    # The sequence makes a list of one state come in its order.
    Index("ix_ingestions_state", "state", "team", "sequence"),
    Index("ix_ingestions_team", "team", "sequence"),
)

FAILED = lifecycle.State.FAILED.value

FINISHED = tuple(state.value for state in lifecycle.FINISHED)

CLAIMABLE = tuple(state.value for state in lifecycle.CLAIMABLE)

FRUITLESS = tuple(state.value for state in lifecycle.FRUITLESS)


def claimable() -> ColumnElement[bool]:
    """Return the condition that a worker may claim from this state.

    The states stand in the statement itself: an index on a part of the table serves only who provably asks for that part.
    """
    return Likely(ingestions.c.state.in_(bindparam("claimable", CLAIMABLE, expanding=True, literal_execute=True)))


def is_finished() -> ColumnElement[bool]:
    """Return the condition that a worker brought it to an end, as its index knows it."""
    return ingestions.c.state.in_(bindparam("finished", FINISHED, expanding=True, literal_execute=True))


def stands(state: str) -> ColumnElement[bool]:
    """Return the condition that it is in this state, as the index of what has failed knows it."""
    return ingestions.c.state == literal(state, literal_execute=True)


class Likely(FunctionElement[bool]):
    """A condition, and for SQLite the word that it tells little apart: else it looks for states with their own index, reads
    all that wait, and sorts them. It knows nothing about the rows unless ANALYZE was run.

    Source: sqlite.org/lang_corefunc.html, "likelihood".
    """

    inherit_cache = True


@compiles(Likely)
def _plain(likely: Likely, compiler: SQLCompiler, **given: Any) -> str:
    return compiler.process(likely.clauses, **given)


@compiles(Likely, "sqlite")
def _told(likely: Likely, compiler: SQLCompiler, **given: Any) -> str:
    return f"likelihood({compiler.process(likely.clauses, **given)}, 0.99)"


Index(
    "ix_ingestions_claimable",
    ingestions.c.turn,
    ingestions.c.sequence,
    sqlite_where=ingestions.c.state.in_(CLAIMABLE),
    postgresql_where=ingestions.c.state.in_(CLAIMABLE),
)
Index(
    "ix_ingestions_team_turn",
    ingestions.c.team,
    ingestions.c.turn,
    sqlite_where=ingestions.c.state.in_(CLAIMABLE),
    postgresql_where=ingestions.c.state.in_(CLAIMABLE),
)

Index(
    "ix_ingestions_failed",
    ingestions.c.team,
    ingestions.c.reason,
    ingestions.c.sequence,
    ingestions.c.updated,
    sqlite_where=ingestions.c.state == FAILED,
    postgresql_where=ingestions.c.state == FAILED,
)
Index(
    "ix_ingestions_finished",
    ingestions.c.team,
    ingestions.c.updated,
    ingestions.c.state,
    sqlite_where=ingestions.c.state.in_(FINISHED),
    postgresql_where=ingestions.c.state.in_(FINISHED),
)
Index(
    "ix_ingestions_format",
    ingestions.c.team,
    ingestions.c.format,
    ingestions.c.sequence,
    ingestions.c.state,
    sqlite_where=ingestions.c.format.is_not(None),
    postgresql_where=ingestions.c.format.is_not(None),
)
Index(
    "ix_ingestions_experiment",
    ingestions.c.team,
    ingestions.c.experiment,
    ingestions.c.sequence,
    sqlite_where=ingestions.c.experiment.is_not(None),
    postgresql_where=ingestions.c.experiment.is_not(None),
)

Index(
    "ix_ingestions_fruitless",
    ingestions.c.updated,
    ingestions.c.sequence,
    sqlite_where=ingestions.c.state.in_(FRUITLESS),
    postgresql_where=ingestions.c.state.in_(FRUITLESS),
)

past_events = Table(
    "past_events",
    metadata,
    # What stays of an ingestion that ended without a version and was removed with its history (`care.remove`): enough to know
    # its event again, and to answer it as before. Rows are written in the transaction that removes, and never changed.
    Column("event_key", Text, primary_key=True),
    Column("event_digest", Text),
    Column("ingestion_id", AnyText, nullable=False),
    Column("version_id", AnyText, nullable=False),
    Column("answered_version", AnyText),
    Column("team", AnyText, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", AnyText),
    Column("message", AnyText),
    Column("attempts", Integer, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
)

ingestion_history = Table(
    "ingestion_history",
    metadata,
    _sequence(),
    # Append-only: one row for every step of an ingestion, the state that it came to, and why.
    Column("ingestion_id", ForeignKey("ingestions.id"), nullable=False, index=True),
    Column("at", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", AnyText),
    Column("message", AnyText),
    # The id that the attempt which begins here may register; null where none begins. It tells a copy that a dead attempt left
    # from one that this database knows nothing of.
    Column("version_id", AnyText),
    # Where an error came from that nobody foresaw, bounded (worker.backtrace); null for any other step.
    Column("backtrace", AnyText),
)

Index(
    "ix_ingestion_history_version_id",
    ingestion_history.c.version_id,
    sqlite_where=ingestion_history.c.version_id.is_not(None),
    postgresql_where=ingestion_history.c.version_id.is_not(None),
)

uploads = Table(
    "uploads",
    metadata,
    # A model whose id was promised before its files came: written by begin_upload. It has become a version where one has its
    # id; its ingestion is the one whose version_id it is.
    _sequence(),
    Column("id", AnyText, nullable=False, unique=True),
    Column("team", AnyText, nullable=False),
    Column("project", AnyText, nullable=False),
    Column("name", AnyText),
    Column("declared_type", Text),
    Column("summary", Json),
    Column("notes", AnyText),
    # A JSON list of words, all that were given by now.
    Column("tags", Json, nullable=False),
    Column("created", Moment, nullable=False),
    # Who brings the files now, and until when without a sign of life. Both null while nobody does.
    Column("writer", Text),
    Column("writer_until", Moment),
    # When the files were all there and the event was accepted, by seal_upload; null before. After it nobody writes.
    Column("sealed", Moment),
    # When it was given up, by end_upload.
    Column("ended", Moment),
)

counters = Table(
    "counters",
    metadata,
    # What happened since the registry began, as records.Counted names it: added in the transaction of what is counted, by
    # `shards.add`. The value of a counter is the sum of its shards.
    Column("name", Text, primary_key=True),
    # A JSON object of words from closed sets, sorted and without blanks, so that equal labels are equal text.
    Column("labels", Text, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    # One row for every process that works off the queue: written by see, removed by leave. Who has not been seen for a while
    # has died; nothing is decided by that but how many bells are rung and what an operator is shown.
    Column("name", AnyText, primary_key=True),
    Column("host", AnyText, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Moment, nullable=False),
    Column("seen", Moment, nullable=False),
)

teams = Table(
    "teams",
    metadata,
    # `default` is written by the migration; every other one by create_team. Never renamed or removed: the name is part of
    # paths and of events that were accepted.
    Column("name", AnyText, primary_key=True),
    # Two teams whose names differ only in case would share a folder on some file systems.
    Column("name_folded", Text, nullable=False, unique=True),
    Column("created", Moment, nullable=False),
)

projects = Table(
    "projects",
    metadata,
    # Written by submit when an event names one for the first time, and by create_project.
    Column("team", AnyText, primary_key=True),
    # Its id: the name that it had first. Scopes, events and places in the store hold it, so it never changes.
    Column("name", AnyText, primary_key=True),
    Column("created", Moment, nullable=False),
    # How it is called now; null where it was never renamed.
    Column("shown", AnyText),
)

project_names = Table(
    "project_names",
    metadata,
    # Every name that a project of the team ever had, the id too, and the id of that project. Rows are never changed or removed:
    # what a name means stays, so an event means the same however often it comes.
    Column("team", AnyText, primary_key=True),
    Column("name", AnyText, primary_key=True),
    Column("project", AnyText, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    _sequence(),
    Column("id", AnyText, nullable=False, unique=True),
    Column("team", ForeignKey("teams.name"), nullable=False, index=True),
    Column("name", AnyText, nullable=False),
    # The SHA-256 of the token in hex. The token itself stands nowhere.
    Column("digest", Text, nullable=False, unique=True),
    # A JSON list of words of records.TokenScope.
    Column("scopes", Json, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    # Null while the token is good; revoke_token sets it, nothing takes it back.
    Column("revoked", Moment),
    # Written by token_by_digest, at most once a minute.
    Column("last_used", Moment),
)

audit_log = Table(
    "audit_log",
    metadata,
    # Append-only: what people did, one row for each change, written by `audit.note` in the transaction that makes the change.
    _sequence(),
    Column("id", AnyText, nullable=False, unique=True),
    Column("at", Moment, nullable=False),
    # No foreign key: the log tells of what may be gone.
    Column("team", AnyText, nullable=False),
    # `the token NAME (ID)`, `somebody at this machine`, or `USER at the command line`.
    Column("who", AnyText, nullable=False),
    # A word of records.Action.
    Column("action", Text, nullable=False),
    Column("object_id", AnyText, nullable=False),
    Column("object_name", AnyText, nullable=False),
    # A small JSON object, such as the name before and after.
    Column("details", Json, nullable=False),
    Index("ix_audit_log_team", "team", "sequence"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    # One row, written by signing_key when it is first asked for, and never changed.
    Column("name", AnyText, primary_key=True),
    Column("key", LargeBinary, nullable=False),
)

queue_halts = Table(
    "queue_halts",
    metadata,
    # That the queue is paused, until a person resumes it: one row for each team by itself, and one with an empty name for all
    # teams. Written by pause_queue, removed by resume_queue; each claim looks here in its own statement.
    Column("team", AnyText, primary_key=True),
    Column("since", Moment, nullable=False),
    # As in audit_log.
    Column("who", AnyText, nullable=False),
    # Why, in the words of who paused it; null where they gave none.
    Column("note", AnyText),
)

registered_models = Table(
    "registered_models",
    metadata,
    _sequence(),
    Column("team", AnyText, nullable=False),
    Column("project", AnyText, nullable=False),
    Column("name", AnyText, nullable=False),
    # The name as searches compare it: databases differ in what they take for upper and lower case.
    Column("name_folded", Text, nullable=False),
    # True until somebody gives the name: an event that names it, or rename.
    Column("is_generated", Boolean, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    # True while all teams may read its versions: written by publish.
    Column("is_published", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("team", "project", "name"),
)

model_versions = Table(
    "model_versions",
    metadata,
    _sequence(),
    Column("id", AnyText, nullable=False, unique=True),
    Column("model", ForeignKey("registered_models.sequence"), nullable=False),
    # Counts within the model from 1. Deleted versions keep theirs, so that a number never names two contents.
    Column("number", Integer, nullable=False),
    Column("ingestion_id", ForeignKey("ingestions.id"), nullable=False, unique=True),
    Column("team", AnyText, nullable=False),
    Column("experiment", AnyText),
    Column("experiment_folded", Text),
    # A digest of team, project, and experiment or location: inside it equal content is unchanged.
    Column("scope", Text, nullable=False),
    Column("model_type", Text, nullable=False),
    Column("format", AnyText, nullable=False),
    Column("location", AnyText, nullable=False),
    # What an ingestion of equal content changes, and nothing else: the listing, so that it needs no reading next time; the
    # judgement (type, format, verdict, report, metrics, findings); where the files are kept. The content never changes.
    Column("listing_key", AnyText, nullable=False),
    Column("rules_version", AnyText, nullable=False),
    Column("digest", AnyText, nullable=False),
    Column("oms_digest", AnyText, nullable=False),
    Column("duplicate_of", ForeignKey("model_versions.id")),
    Column("store", Text, nullable=False),
    Column("url", AnyText, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("completeness", AnyText, nullable=False),
    Column("verdict", AnyText, nullable=False),
    Column("report", AnyText, nullable=False),
    Column("summary", Json, nullable=False),
    Column("detail", Json, nullable=False),
    Column("metadata_raw", LargeBinary),
    Column("created", Moment, nullable=False),
    # What people say of it: written with the upload that it came by, and by note. Null where nobody said anything.
    Column("notes", AnyText),
    Column("said_summary", Json),
    # How its files were found when somebody looked (`care.note_files`): a word of records.Condition, a sentence, when they were
    # found so, and when they were last looked for; all null before. Of a look that failed since, files_trouble tells why.
    Column("files_condition", Text),
    Column("files_says", AnyText),
    Column("files_at", Moment),
    Column("files_looked", Moment),
    Column("files_trouble", AnyText),
    # A digest of names, sizes and times of the files as they stood when their content was known (`drift.mark_of`). Null where
    # nobody noted it: the next look does.
    Column("files_mark", Text),
    # What became of the gates of the last ingestion that had some (`gates.gates_json`); null where none had.
    Column("gates", Json),
    # What differed from the version before it when it was registered (`worker.arrival`); null for the first of its model, and
    # before revision 0015.
    Column("arrival", Json),
    # Since when a policy keeps it from being served, why, and by which causes, a JSON list (`worker.policy`): null where none
    # ever did. The rest is null until a person releases it; what goes into quarantine again begins anew.
    Column("held_since", Moment),
    Column("held_why", AnyText),
    Column("held_causes", Json),
    Column("released", Moment),
    Column("released_by", AnyText),
    Column("released_reason", AnyText),
    # What the policy of the last look warns of; null for nothing.
    Column("warning", AnyText),
    # How whole its primary model is (`worker.wholeness`); null where it was last judged before revision 0018.
    Column("wholeness", Text),
    # Null while the version lives; delete sets it, nothing takes it back.
    Column("deleted", Moment),
    UniqueConstraint("model", "number"),
)

Index(
    "uq_model_versions_living_content",
    model_versions.c.scope,
    model_versions.c.digest,
    unique=True,
    sqlite_where=model_versions.c.deleted.is_(None),
    postgresql_where=model_versions.c.deleted.is_(None),
)
for _name, _by in (("looked", model_versions.c.files_looked), ("rules", model_versions.c.rules_version)):
    Index(
        f"ix_model_versions_{_name}",
        _by,
        model_versions.c.sequence,
        sqlite_where=model_versions.c.deleted.is_(None),
        postgresql_where=model_versions.c.deleted.is_(None),
    )
Index("ix_model_versions_listing", model_versions.c.scope, model_versions.c.listing_key)
Index("ix_model_versions_content", model_versions.c.team, model_versions.c.digest)


def _part_of_version(*columns: Column[object]) -> tuple[Column[object], ...]:
    """Return the key of a row that belongs to a version, in the order given at registration, and its own columns."""
    key: Column[object] = Column("version_id", ForeignKey("model_versions.id"), primary_key=True)
    return key, Column("position", Integer, primary_key=True, autoincrement=False), *columns


version_files = Table(
    "version_files",
    metadata,
    *_part_of_version(
        # What a person reads, with backslash escapes for what is not UTF-8, and beside it the bytes that open the file.
        Column("path", AnyText, nullable=False),
        Column("path_raw", LargeBinary, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("sha256", Text, nullable=False),
    ),
)

version_metrics = Table(
    "version_metrics",
    metadata,
    *_part_of_version(
        Column("name", AnyText, nullable=False),
        Column("value", Double),
        Column("step", BigInteger),
        Column("session", AnyText, nullable=False),
        Column("source", AnyText, nullable=False),
        Column("wall_time", Double),
        # Databases differ on NaN, infinities and integers beyond 64 bits. Where a metric has one, the three numbers
        # stand here as a JSON list [value, step, wall_time], and the odd ones are null in their own columns.
        Column("exact", Json),
    ),
)

version_findings = Table(
    "version_findings",
    metadata,
    *_part_of_version(
        Column("rule", AnyText, nullable=False),
        Column("severity", Text, nullable=False),
        Column("path", AnyText, nullable=False),
        Column("place", AnyText, nullable=False),
        Column("message", AnyText, nullable=False),
    ),
)

version_tags = Table(
    "version_tags",
    metadata,
    Column("version_id", ForeignKey("model_versions.id"), primary_key=True),
    Column("tag", AnyText, primary_key=True),
    Column("team", AnyText, nullable=False),
    # False from the deletion of the version on.
    Column("lives", Boolean, nullable=False),
    Index("ix_version_tags_tag", "tag"),
)

verifications = Table(
    "verifications",
    metadata,
    # What the load check of a version came to; no row where nobody asked for one. The last one counts.
    Column("version_id", ForeignKey("model_versions.id"), primary_key=True),
    # A word of verification.Outcome, the report as JSON, and when; null while the first check is under way.
    Column("outcome", Text),
    Column("report", AnyText),
    Column("at", Moment),
    # Who checks it now, until when; null where nobody does. An owner that was killed is known by the time being over.
    Column("owner", AnyText),
    Column("lease_until", Moment),
    # How often a check was begun since the last one that ended.
    Column("attempts", Integer, nullable=False, server_default="0"),
)

deliveries = Table(
    "deliveries",
    metadata,
    _sequence(),
    Column("id", AnyText, nullable=False, unique=True),
    Column("team", AnyText, nullable=False, index=True),
    # A word of delivery.DeliveryKind: what is told. What there is to say of it is read from the other tables when it is told.
    Column("kind", Text, nullable=False),
    # To whom: `mlflow`, and whatever name another destination has in the settings.
    Column("destination", AnyText, nullable=False),
    # What it tells of; null where it is not about one.
    Column("ingestion_id", ForeignKey("ingestions.id"), index=True),
    Column("version_id", ForeignKey("model_versions.id"), index=True),
    # waiting, running, delivered, given_up: `worker.delivery` tells who moves it.
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("message", AnyText),
    Column("owner", AnyText),
    # Null exactly when it is over. While it runs, the end of the lease: who died leaves it due again, and nobody frees it.
    Column("due", Moment),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("delivered", Moment),
)

Index(
    "ix_deliveries_due",
    deliveries.c.destination,
    deliveries.c.due,
    deliveries.c.sequence,
    sqlite_where=deliveries.c.due.is_not(None),
    postgresql_where=deliveries.c.due.is_not(None),
)

Index(
    "ix_deliveries_delivered",
    deliveries.c.delivered,
    sqlite_where=deliveries.c.delivered.is_not(None),
    postgresql_where=deliveries.c.delivered.is_not(None),
)

ByteOrdered = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is ordered by its bytes, on every database alike, so that an index serves its beginnings and its order."""

listed_versions = Table(
    "listed_versions",
    metadata,
    # What lists are filtered and ordered by: one narrow row for each version, written by `listed` in the transaction that
    # changes the version. A list looks here and then reads the few versions of its page. Rows of deleted versions stay,
    # because a page may begin behind one; no index of a list holds them.
    Column("sequence", ForeignKey("model_versions.sequence"), primary_key=True, autoincrement=False),
    Column("version_id", AnyText, nullable=False, unique=True),
    Column("model", ForeignKey("registered_models.sequence"), nullable=False),
    Column("team", AnyText, nullable=False),
    Column("project", AnyText, nullable=False),
    Column("name", AnyText, nullable=False),
    Column("name_folded", ByteOrdered, nullable=False),
    Column("experiment", AnyText),
    Column("experiment_folded", Text),
    Column("model_type", Text, nullable=False),
    Column("digest", ByteOrdered, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # Why a person should look at it: the sum of `listing.BITS`, 0 for no reason.
    Column("look", Integer, nullable=False),
    # True for the living version of its model with the highest number, and for no other.
    Column("is_latest", Boolean, nullable=False),
    Column("is_published", Boolean, nullable=False),
    # False from delete on.
    Column("lives", Boolean, nullable=False),
)

headline_metrics = Table(
    "headline_metrics",
    metadata,
    # The one value of each metric that a version is ordered by (`listing.headlines`). Only finite ones.
    Column("sequence", ForeignKey("model_versions.sequence"), primary_key=True, autoincrement=False),
    Column("name", AnyText, primary_key=True),
    Column("team", AnyText, nullable=False),
    Column("value", Double, nullable=False),
    # False from the deletion of the version on.
    Column("lives", Boolean, nullable=False),
)

version_tallies = Table(
    "version_tallies",
    metadata,
    # How many living versions a team has, by look and by whether they are the latest of their model: the sum of the shards,
    # one of which may be below zero. Changed by `tallies.add` in the transaction that changes listed_versions.
    Column("team", AnyText, primary_key=True),
    Column("look", Integer, primary_key=True, autoincrement=False),
    Column("is_latest", Boolean, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("amount", BigInteger, nullable=False),
)


def _index_of_living(name: str, *columns: Column[Any], only: ColumnElement[bool] | None = None) -> None:
    """Index the rows of living versions by *columns*; *only* those that it says."""
    lives = columns[0].table.c.lives.is_(true())
    where = lives if only is None else lives & only
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


def _index_lists() -> None:
    """Index each order of a list, for all versions of a team and for the latest of each model, and each narrow filter."""
    listed = listed_versions.c
    is_latest = listed.is_latest.is_(true())
    for name, *by in (
        ("sequence", listed.sequence),
        ("name", listed.name_folded, listed.sequence),
        ("size", listed.size_bytes, listed.sequence),
    ):
        _index_of_living(f"ix_listed_versions_{name}", listed.team, *by)
        _index_of_living(f"ix_listed_versions_latest_{name}", listed.team, *by, only=is_latest)
    _index_of_living("ix_listed_versions_project", listed.team, listed.project, listed.sequence)
    _index_of_living("ix_listed_versions_experiment", listed.team, listed.experiment, listed.sequence)
    _index_of_living("ix_listed_versions_digest", listed.team, listed.digest)
    _index_of_living("ix_listed_versions_look", listed.team, listed.sequence, only=listed.look > 0)
    _index_of_living("ix_listed_versions_published", listed.sequence, only=listed.is_published.is_(true()))
    _index_of_living("ix_listed_versions_model", listed.model, listed.sequence)
    metrics = headline_metrics.c
    _index_of_living("ix_version_tags_team", version_tags.c.team, version_tags.c.tag)
    _index_of_living("ix_headline_metrics_value", metrics.team, metrics.name, metrics.value, metrics.sequence)


_index_lists()

BESIDE = frozenset({"ix_listed_versions_pieces"})
"""Indexes that only PostgreSQL has, of what a function gives: a migration makes them, and nothing here can say them."""
