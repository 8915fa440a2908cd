"""Signatures of OpenSSF Model Signing: ours and those of its library, each checked by the other."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import TreeChanged
from detectors.facts import Severity
from detectors.scan import Verdict, scan
from detectors.tree import MemoryTree
from tests.builders import onnx
from worker.errors import BadSetting
from worker.manifest import Manifest, read_once
from worker.records import FileDigest
from worker.signatures import (
    FILE_NAME,
    MAX_SIGNATURES,
    BadSignature,
    State,
    check,
    read_envelope,
    signed_bundle,
    with_signatures,
)
from worker.signing_keys import PrivateEcKey, PublicEcKey, private_key, public_key

ROOT = Path(__file__).parents[2]
KEY, OTHER = (PrivateEcKey(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
RELEASE, THEIRS = PublicEcKey(KEY.key.public_key()), PublicEcKey(OTHER.key.public_key())
TRUSTED = {"release": RELEASE}

MODELS = {
    "one file": {"model.onnx": b"abc"},
    "folders before dots": {"a/b": b"1", "a.b": b"2", "a-b/c": b"3", "A": b"4"},
    "deep": {"saved_model.pb": b"g", "variables/variables.index": b"i", "variables/variables.data-00000-of-00001": b"d"},
    "repository": {".gitignore": b"1", ".git/config": b"2", "sub/.gitignore": b"3", ".gitattributes": b"4", "m": b"5"},
    "odd": {"модель": b"2", "-rf": b"3", "n" * 255: b"4", " ": b"5", "\U0001f600": b"6", '"\\': b"7"},
}


def digests(files: Mapping[str, bytes]) -> tuple[FileDigest, ...]:
    return tuple(FileDigest(path, len(data), sha256(data).hexdigest()) for path, data in files.items())


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def write_key(path: Path, key: PrivateEcKey = KEY, password: bytes | None = None) -> Path:
    """Write both halves of *key*: the private one to *path*, the public one beside it, with `.pub` behind its name."""
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    path.write_bytes(key.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    public = key.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_name(f"{path.name}.pub").write_bytes(public)
    return path


def state_of(bundle: str, files: tuple[FileDigest, ...]) -> State:
    return check(bundle.encode(), files, TRUSTED).state


# --- ours, and those of the library


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("files", MODELS.values(), ids=MODELS.keys())
def test_the_signing_library_takes_what_was_signed_here(tmp_path: Path, files: Mapping[str, bytes]) -> None:
    from model_signing import verifying

    folder, key = write_files(tmp_path / "model", files), write_key(tmp_path / "k.pem")
    (folder / FILE_NAME).write_text(signed_bundle(digests(files), "model", KEY))
    config = verifying.Config().use_elliptic_key_verifier(public_key=f"{key}.pub")
    config.verify(folder, folder / FILE_NAME)
    (folder / "added").write_bytes(b"")
    with pytest.raises(ValueError, match="Extra files found"):
        config.verify(folder, folder / FILE_NAME)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("files", MODELS.values(), ids=MODELS.keys())
def test_what_the_signing_library_signed_matches(tmp_path: Path, files: Mapping[str, bytes]) -> None:
    from model_signing import hashing, signing

    folder, key = write_files(tmp_path / "model", files), write_key(tmp_path / "k.pem")
    hashed = hashing.Config().set_ignored_paths(paths=[FILE_NAME])
    signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(hashed).sign(folder, tmp_path / "s")
    bundle = (tmp_path / "s").read_text()
    assert state_of(bundle, digests(files)) is State.MATCHES
    assert state_of(bundle, digests({**files, "added": b""})) is State.MISMATCH
    assert state_of(bundle, digests({path: data + b"!" for path, data in files.items()})) is State.MISMATCH


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_every_curve_of_the_format_goes_both_ways(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    from model_signing import signing, verifying

    mine = PrivateEcKey(ec.generate_private_key(curve))
    folder, key = write_files(tmp_path / "model", MODELS["deep"]), write_key(tmp_path / "k.pem", mine)
    (tmp_path / "ours").write_text(signed_bundle(digests(MODELS["deep"]), "model", mine))
    verifying.Config().use_elliptic_key_verifier(public_key=f"{key}.pub").verify(folder, tmp_path / "ours")
    signing.Config().use_elliptic_key_signer(private_key=key).sign(folder, tmp_path / "theirs")
    found = check((tmp_path / "theirs").read_bytes(), digests(MODELS["deep"]), {"k": public_key(Path(f"{key}.pub"))})
    assert found.state is State.MATCHES


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["shards", "blake3"])
def test_what_other_digests_were_signed_of_is_told_and_not_checked(tmp_path: Path, way: str) -> None:
    from model_signing import hashing, signing

    folder, key, config = write_files(tmp_path / "model", {"m": b"1"}), write_key(tmp_path / "k.pem"), hashing.Config()
    config = config.use_shard_serialization() if way == "shards" else config.use_file_serialization(hashing_algorithm="blake3")
    signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(config).sign(folder, tmp_path / "s")
    found = check((tmp_path / "s").read_bytes(), digests({"m": b"1"}), TRUSTED)
    assert (found.state, found.key) == (State.NOT_CHECKED, "release")
    assert "is not over the SHA-256 of whole files" in found.says


# --- laws

PATHS = st.text(st.sampled_from("ab./é"), min_size=1, max_size=5).filter(lambda path: path != FILE_NAME)
CONTENTS = st.sampled_from([b"", b"1", b"2"])
FILES = st.dictionaries(PATHS, CONTENTS, max_size=4)


@settings(deadline=None)
@given(FILES, FILES)
def test_what_was_signed_matches_and_no_other_listing_does(files: dict[str, bytes], other: dict[str, bytes]) -> None:
    bundle = signed_bundle(digests(files), "model", KEY)
    assert state_of(bundle, digests(files)) is State.MATCHES
    assert (state_of(bundle, digests(other)) is State.MATCHES) == (files == other)


SIGNED = signed_bundle(digests({"m": b"1"}), "model", KEY).encode()


@settings(deadline=None)
@given(st.data())
def test_any_bytes_give_an_answer(data: st.DataObject) -> None:
    """… also those of a signature in which some were changed, and JSON that has all the right names."""
    bundle = SIGNED  # made once: each signature by the same key has another length
    place = data.draw(st.integers(0, len(bundle) - 1))
    spoilt = bundle[:place] + data.draw(st.binary(max_size=3)) + bundle[place + 1 :]
    leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just("aGk=")
    values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3))
    for text in (spoilt, data.draw(st.binary(max_size=20)), json.dumps(data.draw(values)).encode()):
        assert check(text, digests({"m": b"1"}), TRUSTED).state in State


NAMES = st.sampled_from("mediaType verificationMaterial publicKey hint dsseEnvelope payload payloadType signatures sig".split())


@settings(deadline=None)
@given(FILES, st.sampled_from([RELEASE.hint, THEIRS.hint, "", None]))
def test_what_no_trusted_key_signed_never_matches(files: dict[str, bytes], hint: str | None) -> None:
    """… whichever key it says that it was made with."""
    bundle = json.loads(signed_bundle(digests(files), "model", OTHER))
    bundle["verificationMaterial"]["publicKey"] = {"hint": hint}
    found = check(json.dumps(bundle).encode(), digests(files), TRUSTED)
    claims_ours = hint == RELEASE.hint
    assert found.state is (State.MISMATCH if claims_ours else State.NOT_CHECKED)
    assert found.key == ("release" if claims_ours else None)
    assert check(json.dumps(bundle).encode(), digests(files), {}).state is State.NOT_CHECKED


# --- what is said


def changed(bundle: str, **parts: Any) -> bytes:
    return json.dumps({**json.loads(bundle), **parts}).encode()


def resigned(statement: Mapping[str, Any]) -> bytes:
    """Return a bundle in which the trusted key signs any statement."""
    bundle = json.loads(signed_bundle((), "model", KEY))
    payload = json.dumps(statement).encode()
    kind = bundle["dsseEnvelope"]["payloadType"].encode()
    signature = KEY.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    bundle["dsseEnvelope"]["signatures"] = [{"sig": base64.b64encode(signature).decode()}]
    return json.dumps(bundle).encode()


def statement_of(bundle: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
    return found


BUNDLE = signed_bundle(digests({"m": b"1"}), "model", KEY)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is no JSON that can be read"),
        (b"[" * 100_000, "nests deeper than 200"),
        (b"[]", "is no JSON object"),
        (b"{}", "is no Sigstore bundle of the type"),
        (
            changed(BUNDLE, mediaType="application/vnd.dev.sigstore.bundle.v0.2+json"),
            "is no Sigstore bundle of the type",
        ),
        (changed(BUNDLE, verificationMaterial={"certificate": {"rawBytes": "aGk="}}), "was made with a certificate"),
        (changed(BUNDLE, dsseEnvelope=None), "has no DSSE envelope"),
        (changed(BUNDLE, dsseEnvelope={"payloadType": "text/plain"}), "is not of the type application/vnd.in-toto+json"),
        (BUNDLE.replace('"signatures": [', '"signatures": [{}, ').encode(), "does not hold exactly one signature"),
        (BUNDLE.replace('"sig": "', '"sig": "?').encode(), "is not in base64"),
        (resigned({}), "is not about a model"),
        (resigned(statement_of(BUNDLE) | {"predicateType": "https://slsa.dev/provenance/v1"}), "is not about a model"),
        (resigned(statement_of(BUNDLE) | {"predicate": []}), "states nothing about files"),
    ],
)
def test_what_is_no_signature_is_told_and_not_checked(data: bytes, says: str) -> None:
    found = check(data, digests({"m": b"1"}), TRUSTED)
    assert found.state is State.NOT_CHECKED
    assert says in found.says


def test_a_file_that_is_signed_twice_is_not_taken_for_one() -> None:
    statement = statement_of(BUNDLE)
    statement["predicate"]["resources"] *= 2
    assert "names a file twice" in check(resigned(statement), digests({"m": b"1"}), TRUSTED).says


def test_a_mismatch_names_the_files() -> None:
    bundle = signed_bundle(digests({"a": b"1", "b": b"1", "c/d": b"1"}), "model", KEY).encode()
    there = digests({"a": b"2", "c/d": b"1", **{f"new{number}": b"" for number in range(5)}})
    assert check(bundle, there, TRUSTED).says == (
        "signed by the key 'release', and not these files: a changed; b missing; new0, new1, new2 and 2 more not signed"
    )


def test_what_the_signer_left_out_may_be_there_and_what_was_signed_of_it_must() -> None:
    statement = statement_of(BUNDLE)
    statement["predicate"]["serialization"]["ignore_paths"] = ["notes"]
    assert check(resigned(statement), digests({"m": b"1", "notes/a": b"2", ".git/x": b""}), TRUSTED).state is State.MATCHES
    assert check(resigned(statement), digests({"m": b"1", "notes2": b"2"}), TRUSTED).state is State.MISMATCH
    statement["predicate"]["serialization"]["ignore_paths"] = ["m"]
    assert check(resigned(statement), digests({"m": b"2"}), TRUSTED).state is State.MISMATCH


def test_a_name_that_is_not_utf8_cannot_be_signed() -> None:
    with pytest.raises(BadSignature, match=r"cannot name the file a\\xff"):
        signed_bundle(digests({"a\udcff": b""}), "model", KEY)


def test_the_envelope_holds_what_was_signed() -> None:
    envelope = read_envelope(BUNDLE.encode())
    assert json.loads(envelope.payload)["subject"][0]["name"] == "model"
    assert envelope.hint == RELEASE.hint


# --- keys


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    write_key(tmp_path / "k.pem")
    write_key(tmp_path / "locked.pem", password=b"secret")
    for name, key in (
        ("rsa", rsa.generate_private_key(65537, 2048)),
        ("ed25519", ed25519.Ed25519PrivateKey.generate()),
        ("k256", ec.generate_private_key(ec.SECP256K1())),
    ):
        (tmp_path / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "no key").write_bytes(b"-----BEGIN")
    return tmp_path


def test_a_key_is_read_from_its_file(keys: Path) -> None:
    assert private_key(keys / "k.pem").hint == public_key(keys / "k.pem.pub").hint == RELEASE.hint
    assert private_key(keys / "locked.pem", b"secret").hint == RELEASE.hint


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [
        ("rsa", None, "expected a key on one of the elliptic curves P-256, P-384 and P-521, found RSAPrivateKey"),
        ("ed25519", None, "found Ed25519PrivateKey"),
        ("k256", None, "found secp256k1"),
        ("no key", None, "expected a private key in PEM, found something else"),
        ("k.pem.pub", None, "expected a private key in PEM"),
        ("locked.pem", None, "Password was not given but private key is encrypted"),
        ("locked.pem", b"guess", "expected a private key in PEM that the password opens"),
        ("not there", None, "the key could not be read: No such file or directory"),
    ],
)
def test_what_is_no_key_for_signing_is_refused_in_words(keys: Path, name: str, password: bytes | None, says: str) -> None:
    with pytest.raises(BadSetting) as refused:
        private_key(keys / name, password)
    assert says in str(refused.value)
    assert str(keys / name) in str(refused.value)


def test_a_private_key_is_not_taken_for_a_public_one(keys: Path) -> None:
    with pytest.raises(BadSetting, match="expected a public key in PEM, found something else"):
        public_key(keys / "k.pem")


def test_without_the_extra_a_key_is_refused_in_words(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadSetting, match=r"keys need the extra modelport\[signing\], which is not installed"):
        public_key(keys / "k.pem.pub")


def test_nothing_of_the_extra_is_imported_where_no_key_is_read() -> None:
    code = "import sys, worker.bootstrap; print([one for one in sys.modules if one.partition('.')[0] == 'cryptography'])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout == "[]\n"


# --- in a run


def looked(files: Mapping[str, bytes], keys: Mapping[str, PublicEcKey] = TRUSTED) -> list[tuple[str, str, str]]:
    tree = MemoryTree(files)
    manifest, _ = read_once(tree, tree.files(), None, lambda entry: None, lambda count: None)
    found = with_signatures(scan(tree), tree, manifest, keys)
    bad = [finding for finding in found.findings if finding.severity is Severity.HIGH]
    assert found.verdict is (Verdict.FINDINGS if bad else Verdict.CLEAN)
    return [(one.rule, one.path, one.severity.value) for one in found.findings]


MODEL = {"m.onnx": onnx.model()}


def with_signature(files: Mapping[str, bytes], key: PrivateEcKey = KEY) -> dict[str, bytes]:
    return {**files, FILE_NAME: signed_bundle(digests(files), "model", key).encode()}


def test_a_run_without_a_signature_is_left_as_it_is() -> None:
    assert looked(MODEL) == []


def test_a_signature_that_matches_is_told() -> None:
    assert looked(with_signature(MODEL)) == [("signature-matches", FILE_NAME, "info")]


def test_a_signature_of_other_files_is_a_finding() -> None:
    spoilt = {**with_signature(MODEL), "added": b""}
    assert looked(spoilt) == [("signature-mismatch", FILE_NAME, "high")]


def test_a_signature_of_nobody_that_is_trusted_is_told() -> None:
    assert looked(with_signature(MODEL, OTHER)) == [("signature-not-checked", FILE_NAME, "info")]
    assert looked(with_signature(MODEL), {}) == [("signature-not-checked", FILE_NAME, "info")]


def test_a_signature_is_of_its_folder_alone() -> None:
    below = {f"v1/{path}": data for path, data in with_signature(MODEL).items()}
    assert looked({**below, "notes.txt": b""}) == [("signature-matches", "v1/model.sig", "info")]
    assert looked({**below, "v1/notes.txt": b""}) == [("signature-mismatch", "v1/model.sig", "high")]
    assert looked({**below, "v10/m": b""}) == [("signature-matches", "v1/model.sig", "info")]


def test_only_so_many_signatures_are_looked_at() -> None:
    many = {f"{number}/{path}": data for number in range(MAX_SIGNATURES + 5) for path, data in with_signature(MODEL).items()}
    assert len(looked(many)) == MAX_SIGNATURES


def test_a_signature_that_was_changed_after_it_was_hashed_is_a_change_of_the_tree() -> None:
    tree = MemoryTree(with_signature(MODEL))
    manifest, _ = read_once(tree, tree.files(), None, lambda entry: None, lambda count: None)
    other = Manifest(tuple(replace(file, sha256="0" * 64) if file.path == FILE_NAME else file for file in manifest.files))
    with pytest.raises(TreeChanged, match="was changed after it was read first"):
        with_signatures(scan(tree), tree, other, TRUSTED)
