"""Signatures of OpenSSF Model Signing: what is signed, how it is written, and whether one is of these files. Pure.

In go the digests of files, which were taken when their bytes went by, so nothing is read for a signature but itself; and keys,
which sign and check bytes. Where keys come from is left to `worker.signing_keys`, and what follows from a signature that does
not match to the rules of the scanner.

    model.sig:  a bundle (JSON) ── an envelope ── payload, base64: a statement (JSON) ── name and SHA-256 of each file
                     └ which key       └ signature of "DSSEv1 28 application/vnd.in-toto+json LENGTH PAYLOAD"

The library of the format reads folders on a disk, and each byte of them again; what is kept here may lie anywhere, and its
digests are known. So the format is written here, the key's part is left to `cryptography`, and tests hold both directions to
that library. Signatures by certificate and without keys are told of and not checked, and so are digests of other kinds.

Laws (each has a test of the same name):
    what was signed matches, and no other listing does;
    any bytes give an answer;
    what no trusted key signed never matches.

Source: OpenSSF Model Signing v1.0 (`https://model_signing/signature/v1.0`), Sigstore bundle v0.3, DSSE v1.0.0, in-toto
Statement v1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

from detectors.errors import TreeChanged
from detectors.facts import SEVERITIES, Finding, Severity
from detectors.json_text import JsonError, JsonLimit, parse_json
from detectors.scan import Scan, judge
from detectors.tree import FileTree, readable
from worker.manifest import UNSIGNED_NAMES, Manifest, oms_digest
from worker.records import FileDigest

FILE_NAME = "model.sig"
"""How the file is called that signs the folder it lies in, whoever wrote it."""

WHOLE_FILE = "."
"""How a file is named in a signature of that file alone."""

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"

MAX_SIGNATURE_BYTES = 64 << 20
"""Size of a signature that is looked at; a file that is signed takes about 250 bytes of it."""

MAX_SIGNATURES = 20
"""Signatures of one run that are looked at."""

MAX_NAMED = 3
"""Files of each kind that a sentence about differences names."""


class PublicKey(Protocol):
    """A key that tells whether it made a signature. *hint* is the SHA-256, in hex, of its PEM, by which bundles name it."""

    @property
    def hint(self) -> str: ...

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Tell whether *signature* of *message* was made with the private half."""
        ...


class PrivateKey(Protocol):
    """A key that signs; *hint* is that of its public half."""

    @property
    def hint(self) -> str: ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature of *message*."""
        ...


class BadSignature(ValueError):
    """This is no signature, or none of a kind that is checked here; the message says why, and completes "the signature"."""


class State(StrEnum):
    """What a signature says of the files beside it."""

    MATCHES = "matches"
    """A trusted key signed exactly these files."""
    MISMATCH = "mismatch"
    """A trusted key signed other files, or its signature was changed."""
    NOT_CHECKED = "not-checked"
    """No trusted key made it, or it is of a kind that is not checked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What checking a signature gave. *key* is the name of the trusted key that made it, None where none did."""

    state: State
    key: str | None
    says: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a bundle holds: the signed bytes, their signature, and which key it names, "" for none."""

    payload: bytes
    signature: bytes
    hint: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What was signed: the SHA-256 of each file by its name, and which paths of the folder it says nothing of."""

    files: Mapping[str, str]
    ignored: frozenset[str]


# --- writing


def signed_bundle(files: Iterable[FileDigest], name: str, key: PrivateKey) -> str:
    """Return the signature of *files* as text of a file `FILE_NAME`; *name* is what the model is called in it.

    Raises:
        BadSignature: a file has a name that is not UTF-8, which the format cannot say.
    """
    payload = _statement(Manifest(tuple(files)), name)
    bundle = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key.hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(key.sign(_signed_bytes(payload))).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle)


def _statement(manifest: Manifest, name: str) -> bytes:
    files = [file for file in manifest.files if not _is_ignored(file.path, UNSIGNED_NAMES | {FILE_NAME})]
    ordered = sorted(files, key=lambda file: file.path.split("/"))
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": oms_digest(Manifest(tuple(files))).removeprefix("sha256:")}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": sorted(UNSIGNED_NAMES | {FILE_NAME}),
            },
            "resources": [{"name": file.path, "algorithm": "sha256", "digest": file.sha256} for file in ordered],
        },
    }
    try:
        return json.dumps(statement, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        odd = next(file.path for file in files if not _is_text(file.path))
        raise BadSignature(f"cannot name the file {readable(odd)}, whose name is not UTF-8") from exc


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _signed_bytes(payload: bytes) -> bytes:
    """Return what is signed in place of *payload*: its type and both lengths belong to it (DSSE, "PAE")."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


# --- checking


def check(data: bytes, files: Sequence[FileDigest], keys: Mapping[str, PublicKey]) -> Answer:
    """Return what the signature *data* says of *files*, whose paths are relative to the folder that is signed.

    *keys* are the trusted ones by their names. Which of them made the signature is tried, whatever it says of that itself.
    """
    try:
        envelope = read_envelope(data)
    except BadSignature as exc:
        return Answer(State.NOT_CHECKED, None, f"the signature {exc}")
    message = _signed_bytes(envelope.payload)
    name = next((name for name, key in keys.items() if key.has_signed(message, envelope.signature)), None)
    if name is None:
        named = next((name for name, key in keys.items() if key.hint == envelope.hint), None)
        if named is not None:
            return Answer(State.MISMATCH, named, f"the signature names the key {named!r}, which did not make it")
        of = f"with SHA-256 {envelope.hint[:16]}…" if envelope.hint else "that it does not name"
        return Answer(State.NOT_CHECKED, None, f"the signature was made with a key {of}, which is not a trusted one")
    try:
        statement = read_statement(envelope.payload)
    except BadSignature as exc:
        return Answer(State.NOT_CHECKED, name, f"the signature by the key {name!r} {exc}")
    difference = _difference(statement, files)
    if difference:
        return Answer(State.MISMATCH, name, f"signed by the key {name!r}, and not these files: {difference}")
    return Answer(State.MATCHES, name, f"signed by the key {name!r}, exactly these files")


def read_envelope(data: bytes) -> Envelope:
    """Return what the bundle *data* holds.

    Raises:
        BadSignature: it is none, or was not made with a key of its own.
    """
    bundle = _object(_json(data), "is no JSON object")
    if bundle.get("mediaType") != BUNDLE_TYPE:
        raise BadSignature(f"is no Sigstore bundle of the type {BUNDLE_TYPE}")
    material = _object(bundle.get("verificationMaterial"), "does not say who made it")
    if not isinstance(material.get("publicKey"), dict):
        raise BadSignature("was made with a certificate, and those are not checked")
    envelope = _object(bundle.get("dsseEnvelope"), "has no DSSE envelope")
    if envelope.get("payloadType") != PAYLOAD_TYPE:
        raise BadSignature(f"is not of the type {PAYLOAD_TYPE}")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise BadSignature("does not hold exactly one signature")
    signature = _object(signatures[0], "holds no signature").get("sig")
    hint = material["publicKey"].get("hint")
    return Envelope(_bytes(envelope.get("payload")), _bytes(signature), hint if isinstance(hint, str) else "")


def read_statement(payload: bytes) -> Statement:
    """Return what the *payload* of an envelope states.

    Raises:
        BadSignature: it states something else, or digests of another kind.
    """
    statement = _object(_json(payload), "states nothing")
    if statement.get("_type") != STATEMENT_TYPE or statement.get("predicateType") != PREDICATE_TYPE:
        raise BadSignature(f"is not about a model as {PREDICATE_TYPE} has it")
    predicate = _object(statement.get("predicate"), "states nothing about files")
    how, resources = _object(predicate.get("serialization"), "does not say what was hashed"), predicate.get("resources")
    if (how.get("method"), how.get("hash_type")) != ("files", "sha256"):
        raise BadSignature("is not over the SHA-256 of whole files, and others are not checked")
    ignored = how.get("ignore_paths", [])
    if not isinstance(resources, list) or not isinstance(ignored, list) or not all(isinstance(one, str) for one in ignored):
        raise BadSignature("does not list files")
    files = dict(_named(one) for one in resources)
    if len(files) < len(resources):
        raise BadSignature("names a file twice")
    return Statement(files, frozenset(ignored))


def _named(resource: object) -> tuple[str, str]:
    fields = _object(resource, "does not list files")
    name, digest = fields.get("name"), fields.get("digest")
    if not isinstance(name, str) or not isinstance(digest, str) or fields.get("algorithm") != "sha256":
        raise BadSignature("has a file without a name or a SHA-256")
    return name, digest.lower()


def _difference(statement: Statement, files: Sequence[FileDigest]) -> str:
    """Return in words what is not as *statement* has it; "" where nothing is."""
    ignored = UNSIGNED_NAMES | {FILE_NAME} | statement.ignored
    of_it = (file for file in files if file.path in statement.files or not _is_ignored(file.path, ignored))
    found = {file.path: file.sha256 for file in of_it}
    changed = [path for path, digest in found.items() if statement.files.get(path, digest) != digest]
    groups = (
        ("changed", changed),
        ("missing", [path for path in statement.files if path not in found]),
        ("not signed", [path for path in found if path not in statement.files]),
    )
    return "; ".join(f"{_few(sorted(paths))} {word}" for word, paths in groups if paths)


def _few(paths: Sequence[str]) -> str:
    named = ", ".join(readable(path) for path in paths[:MAX_NAMED])
    more = len(paths) - MAX_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _is_ignored(path: str, ignored: Iterable[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in ignored)


def _json(data: bytes) -> Any:
    try:
        return parse_json(data)[0]
    except (JsonError, JsonLimit) as exc:
        raise BadSignature(f"is no JSON that can be read: {exc.reason}") from exc


def _object(value: Any, otherwise: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadSignature(otherwise)
    return value


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str) or not text.isascii():
        raise BadSignature("is not in base64")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise BadSignature("is not in base64") from exc


# --- in a run

RULES = {
    State.MATCHES: ("signature-matches", Severity.INFO),
    State.MISMATCH: ("signature-mismatch", Severity.HIGH),
    State.NOT_CHECKED: ("signature-not-checked", Severity.INFO),
}


def with_signatures(found: Scan, tree: FileTree, manifest: Manifest, keys: Mapping[str, PublicKey]) -> Scan:
    """Return *found* with what the signatures in *tree* say of the files in *manifest*, one finding each.

    Reads the signatures, and nothing else.

    Raises:
        TreeError: a signature could not be read, or is not the one that was hashed.
    """
    told = tuple(_findings(tree, manifest, keys))
    if not told:
        return found
    findings = tuple(sorted((*found.findings, *told), key=lambda finding: SEVERITIES.index(finding.severity)))
    return replace(found, findings=findings, verdict=judge(found.models, findings, found.coverage))


def _findings(tree: FileTree, manifest: Manifest, keys: Mapping[str, PublicKey]) -> Iterator[Finding]:
    signatures = (file for file in manifest.files if file.path.rpartition("/")[2] == FILE_NAME)
    for file in islice(signatures, MAX_SIGNATURES):
        answer = _checked(tree, file, manifest, keys)
        rule, severity = RULES[answer.state]
        yield Finding(rule, severity, file.path, "", answer.says)


def _checked(tree: FileTree, file: FileDigest, manifest: Manifest, keys: Mapping[str, PublicKey]) -> Answer:
    if not keys:
        return Answer(State.NOT_CHECKED, None, "there is a signature, and no key is trusted (MODELPORT_SIGNING_KEYS)")
    if file.size > MAX_SIGNATURE_BYTES:
        return Answer(State.NOT_CHECKED, None, f"the signature has {file.size} bytes, more than the limit MAX_SIGNATURE_BYTES")
    data = tree.read(file.path, 0, file.size)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise TreeChanged(file.path, "was changed after it was read first")
    return check(data, beside(file.path, manifest.files), keys)


def beside(signature: str, files: Iterable[FileDigest]) -> tuple[FileDigest, ...]:
    """Return the files that the one at *signature* is about, all below its folder, with paths as seen from there."""
    folder = signature.removesuffix(FILE_NAME)
    others = (file for file in files if file.path.startswith(folder) and file.path != signature)
    return tuple(replace(file, path=file.path.removeprefix(folder)) for file in others)
