"""`modelport models sign` and `check-signature`: signatures of OpenSSF Model Signing, of versions and of what lies on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.common import (
    ERROR,
    FORMAT,
    FOUND,
    OK,
    PROJECT,
    TEAM,
    acting,
    answer,
    names_a_path,
    or_a_path,
    progress_bar,
    put_text,
)
from worker.s3_url import is_s3

if TYPE_CHECKING:
    from worker.records import FileDigest
    from worker.signatures import PublicKey

THING = click.argument("model", metavar="MODEL|PATH")
KEY_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "sign",
    short_help="Sign the files of one version, or those at a path.",
    epilog="Example: modelport models sign mnist@3 --key release.pem --signature mnist.sig",
)
@THING
@click.option("--key", type=KEY_FILE, required=True, help="A private key in PEM, on the curve P-256, P-384 or P-521.")
@click.option("--password-file", type=KEY_FILE, help="The file with the password of the key, where it is encrypted.")
@click.option(
    "--signature",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write it. If not given: model.sig in the folder, beside a file with .sig behind its name, and for a "
    "version in the current folder.",
)
@TEAM
@PROJECT
@FORMAT
def models_sign(
    model: str,
    key: Path,
    password_file: Path | None,
    signature: Path | None,
    team: str | None,
    project: str | None,
    format: str,
) -> None:
    """Sign MODEL, or the folder or file at PATH, which begins with `/`, `./` or `../`, as OpenSSF Model Signing has it.

    Of a version the digests are signed that it was registered with; of a path every byte is read.
    """
    from worker.errors import RejectedLocation
    from worker.signatures import BadSignature, signed_bundle
    from worker.signing_keys import private_key

    password = None if password_file is None else password_file.read_bytes().rstrip(b"\r\n")
    signer = private_key(key, password)
    files, name, beside = _at(model) if names_a_path(model) else (*_of_version(model, team, project), Path("model.sig"))
    target = signature or beside
    try:
        text = signed_bundle(files, name, signer)
    except BadSignature as exc:
        raise RejectedLocation(f"{model}: a signature {exc}") from exc
    put_text(text, target)
    value = {"signature": str(target), "name": name, "keySha256": signer.hint, "files": len(files)}
    answer(value, format, f"{name}: {len(files)} file{'' if len(files) == 1 else 's'} signed; the signature is {target}")


@click.command(
    "check-signature",
    short_help="Tell whether a signature is of one version, or of what lies at a path.",
    epilog="Example: modelport models check-signature mnist@3 --key release.pub --signature mnist.sig",
)
@THING
@click.option(
    "--key",
    "keys",
    type=KEY_FILE,
    multiple=True,
    help="A public key in PEM that is trusted; may be repeated. If not given: those of MODELPORT_SIGNING_KEYS.",
)
@click.option(
    "--signature",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The signature. If not given: model.sig of the version or of the folder, and of a file the one beside it.",
)
@TEAM
@PROJECT
@FORMAT
def models_check_signature(
    model: str, keys: tuple[Path, ...], signature: Path | None, team: str | None, project: str | None, format: str
) -> int:
    """Tell whether a trusted key signed exactly the files of MODEL, or those at PATH, which begins with `/`, `./` or `../`.

    The exit status is 0 where it did, 1 where it signed others, and 2 where no trusted key made the signature.
    """
    from worker.signatures import State, check

    trusted = _trusted(keys)
    if names_a_path(model):
        files, name, own = _at(model)
        data = _read(signature or own)
    else:
        data, files, name = _signed_version(model, signature, team, project)
    found = check(data, files, trusted)
    value = {"state": found.state.value, "key": found.key, "says": found.says, "name": name, "files": len(files)}
    answer(value, format, f"{name}: {found.says}")
    return {State.MATCHES: OK, State.MISMATCH: FOUND, State.NOT_CHECKED: ERROR}[found.state]


def _trusted(keys: Sequence[Path]) -> dict[str, PublicKey]:
    """Return the trusted keys: those in the files *keys*, or those of the settings where none is named.

    Raises:
        UsageError: there are none.
        BadSetting: one is none.
    """
    from worker.bootstrap import trusted_keys
    from worker.settings import load
    from worker.signing_keys import public_key

    trusted: dict[str, PublicKey] = {str(path): public_key(path) for path in keys}
    trusted = trusted or dict(trusted_keys(load(os.environ, Path.cwd())))
    if not trusted:
        raise click.UsageError("expected --key: no key is trusted by MODELPORT_SIGNING_KEYS", click.get_current_context())
    return trusted


def _at(path: str) -> tuple[Sequence[FileDigest], str, Path]:
    """Return the digests of the files at *path*, how that is called, and where its signature lies. Reads every byte.

    Raises:
        BadParameter: it is on object storage.
        RejectedLocation: there is something that is no plain file.
        TreeError: it could not be read.
    """
    from dataclasses import replace

    from detectors.local_tree import LocalTree
    from worker.errors import RejectedLocation
    from worker.manifest import read_once
    from worker.signatures import FILE_NAME, WHOLE_FILE

    if is_s3(path):
        raise click.BadParameter("expected a version or a path on disk; ingest what lies on object storage, and name that")
    place = Path(os.path.realpath(path))
    if not place.exists():
        raise RejectedLocation(f"{path}: there is nothing at this path")
    is_file = place.is_file()
    with LocalTree.of_file(str(place)) if is_file else LocalTree(place) as tree, progress_bar() as shown:
        entries = tuple(tree.files())
        shown[1](sum(entry.size for entry in entries))
        files = read_once(tree, entries, None, lambda entry: None, shown[2])[0].files
        if tree.passed_over:
            one = tree.passed_over[0]
            raise RejectedLocation(f"{path}: {one.path} is no plain file that may be read ({one.reason}), and cannot be signed")
    if is_file:
        return [replace(file, path=WHOLE_FILE) for file in files], place.name, place.with_name(f"{place.name}.sig")
    return [file for file in files if file.path != FILE_NAME], place.name, Path(path) / FILE_NAME


def _of_version(model: str, team: str | None, project: str | None) -> tuple[Sequence[FileDigest], str]:
    """Return the digests of a version, and how it is called."""
    from worker.repository import find_readable

    with acting(team) as service:
        with or_a_path(model):
            version = find_readable(service.registry, service.team, model, project)
        return service.registry.files(version.id), f"{version.model_name}@{version.number}"


def _signed_version(
    model: str, signature: Path | None, team: str | None, project: str | None
) -> tuple[bytes, Sequence[FileDigest], str]:
    """Return a signature, the digests of the files that it is about, and how the version is called.

    Raises:
        NotFound: none is named, and the version has none.
    """
    from worker.errors import NotFound
    from worker.repository import find_readable
    from worker.signatures import FILE_NAME, beside

    with acting(team) as service:
        with or_a_path(model):
            version = find_readable(service.registry, service.team, model, project)
        files, name = service.registry.files(version.id), f"{version.model_name}@{version.number}"
        if signature is not None:
            return _read(signature), files, name
        own = [file for file in files if file.path.rpartition("/")[2] == FILE_NAME]
        if not own:
            raise NotFound(f"{name} has no {FILE_NAME}; name a signature with --signature")
        first = min(own, key=lambda file: file.path.count("/"))
        with service.open_version(version) as tree:
            if first.path not in {entry.path for entry in tree.files()}:
                raise NotFound(f"{name}: {first.path} is gone from where it is kept")
            return tree.read(first.path, 0, first.size), beside(first.path, files), name


def _read(signature: Path) -> bytes:
    """Return the bytes of a signature.

    Raises:
        RejectedLocation: there is none, or it is larger than one may be.
        OSError: it could not be read.
    """
    from worker.errors import RejectedLocation
    from worker.signatures import MAX_SIGNATURE_BYTES

    if not signature.exists():
        raise RejectedLocation(f"{signature}: there is no signature; name one with --signature")
    with signature.open("rb") as file:
        data = file.read(MAX_SIGNATURE_BYTES + 1)
    if len(data) > MAX_SIGNATURE_BYTES:
        raise RejectedLocation(f"{signature}: is larger than a signature may be, {MAX_SIGNATURE_BYTES} bytes")
    return data
