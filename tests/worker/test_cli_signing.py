"""`modelport models sign` and `check-signature`, and what a run that carries a signature is told of."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.worker.conftest import json_of
from tests.worker.test_signatures import OTHER, write_key
from worker.cli import run
from worker.signatures import FILE_NAME
from worker.signing_keys import PrivateEcKey

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return write_key(tmp_path / "k.pem")


@pytest.fixture
def trusted(key: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private key whose signatures are trusted when runs arrive."""
    monkeypatch.setenv("MODELPORT_SIGNING_KEYS", json.dumps({"release": f"{key}.pub"}))
    return key


def said(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    assert run([str(word) for word in words]) == status
    shown = capsys.readouterr()
    return shown.out + shown.err


def findings(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["rule"], one["severity"]) for one in report["findings"]]


# --- versions


def test_a_version_is_signed_by_its_digests_and_checked(
    model: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_of(capsys, "ingest", model, "--name", "net")
    shutil.rmtree(tmp_path / "home" / "store")
    signed = json_of(capsys, "models", "sign", "net@1", "--key", key)
    assert (signed["signature"], signed["name"], signed["files"]) == ("model.sig", "net@1", 1)
    found = json_of(capsys, "models", "check-signature", "net", "--key", f"{key}.pub", "--signature", "model.sig")
    assert (found["state"], found["key"]) == ("matches", f"{key}.pub")


def test_the_signature_of_another_version_does_not_match(model: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "ingest", model, "--name", "net")
    json_of(capsys, "models", "sign", "net", "--key", key, "--signature", "net.sig")
    (model / "notes.txt").write_text("more")
    json_of(capsys, "ingest", model, "--name", "net")
    told = said(capsys, "models", "check-signature", "net@2", "--key", f"{key}.pub", "--signature", "net.sig", status=1)
    assert "net@2: signed by the key" in told
    assert "notes.txt not signed" in told


def test_a_version_that_carries_its_signature_needs_no_other(
    model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_of(capsys, "models", "sign", "./net", "--key", key)
    json_of(capsys, "ingest", model, "--name", "net")
    assert "exactly these files" in said(capsys, "models", "check-signature", "net", "--key", f"{key}.pub")


@pytest.mark.parametrize("command", ["sign", "check-signature"])
def test_a_folder_that_is_named_as_a_model_would_be_is_told_how_it_is_named(
    command: str, model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of = key if command == "sign" else f"{key}.pub"
    told = said(capsys, "models", command, "net", "--key", of, status=2)
    assert "net: no such model; what lies on this disk is named ./net" in told
    told = said(capsys, "models", command, "nobody", "--key", of, status=2)
    assert "nobody: no such model; `modelport models list` shows what is there" in told


def test_a_version_without_a_signature_is_told_to_name_one(model: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "ingest", model, "--name", "net")
    told = said(capsys, "models", "check-signature", "net", "--key", f"{key}.pub", status=2)
    assert "net@1 has no model.sig; name a signature with --signature" in told


# --- paths


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_a_folder_is_signed_in_its_place_for_the_signing_library_too(
    model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from model_signing import verifying

    assert "1 file signed; the signature is net/model.sig" in said(capsys, "models", "sign", "./net", "--key", key)
    verifying.Config().use_elliptic_key_verifier(public_key=f"{key}.pub").verify(model, model / FILE_NAME)
    assert "exactly these files" in said(capsys, "models", "check-signature", "./net", "--key", f"{key}.pub")
    assert "1 file signed" in said(capsys, "models", "sign", "./net", "--key", key), "signing again is harmless"
    (model / "added").write_bytes(b"")
    assert "added not signed" in said(capsys, "models", "check-signature", "./net", "--key", f"{key}.pub", status=1)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_a_file_is_signed_alone(model: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from model_signing import verifying

    said(capsys, "models", "sign", "./net/model.onnx", "--key", key)
    config = verifying.Config().use_elliptic_key_verifier(public_key=f"{key}.pub")
    config.verify(model / "model.onnx", model / "model.onnx.sig")
    assert "exactly these" in said(capsys, "models", "check-signature", "./net/model.onnx", "--key", f"{key}.pub")


def test_a_key_of_somebody_else_is_no_match(model: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_key(tmp_path / "other.pem", OTHER)
    said(capsys, "models", "sign", "./net", "--key", "other.pem")
    told = said(capsys, "models", "check-signature", "./net", "--key", f"{key}.pub", status=2)
    assert "which is not a trusted one" in told
    keys = ("--key", f"{key}.pub", "--key", "other.pem.pub")
    assert "signed by the key 'other.pem.pub'" in said(capsys, "models", "check-signature", "./net", *keys)


def test_a_key_with_a_password_is_opened(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = write_key(tmp_path / "locked.pem", PrivateEcKey(ec.generate_private_key(ec.SECP384R1())), b"secret")
    (tmp_path / "password").write_text("secret\n")
    said(capsys, "models", "sign", "./net", "--key", locked, "--password-file", "password")
    said(capsys, "models", "check-signature", "./net", "--key", f"{locked}.pub")
    assert "Password was not given" in said(capsys, "models", "sign", "./net", "--key", locked, status=2)


@pytest.mark.parametrize(
    ("words", "says", "status"),
    [
        (("sign", "./nothing", "--key", "k.pem"), "there is nothing at this path", 2),
        (("sign", "./net", "--key", "k.pem.pub"), "expected a private key in PEM", 2),
        (("sign", "s3://bucket/net", "--key", "k.pem"), "ingest what lies on object storage", 4),
        (("sign", "./net"), "Missing option '--key'", 4),
        (("check-signature", "./net"), "no key is trusted by MODELPORT_SIGNING_KEYS", 4),
        (
            ("check-signature", "./net", "--key", "k.pem.pub"),
            "net/model.sig: there is no signature; name one with --signature",
            2,
        ),
    ],
)
def test_what_cannot_be_done_is_told(
    words: tuple[str, ...], says: str, status: int, model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, "models", *words, status=status)
    assert says in told
    assert "this is a bug" not in told


def test_what_a_link_leads_to_is_not_signed(model: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model / "link").symlink_to("model.onnx")
    assert "link is no plain file" in said(capsys, "models", "sign", "./net", "--key", key, status=2)
    assert not (model / FILE_NAME).exists()


# --- runs


def test_a_run_that_a_trusted_key_signed_is_told_so(model: Path, trusted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "models", "sign", "./net", "--key", trusted)
    report = json_of(capsys, "ingest", model, "--name", "net")
    assert (report["verdict"], findings(report)) == ("clean", [("signature-matches", "info")])
    assert report["findings"][0]["message"] == "signed by the key 'release', exactly these files"
    assert findings(json_of(capsys, "models", "show", "net")) == [("signature-matches", "info")]


def test_a_run_that_was_changed_after_it_was_signed_is_a_finding(
    model: Path, trusted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "models", "sign", "./net", "--key", trusted)
    with (model / "model.onnx").open("ab") as file:
        file.write(b"\x08\x08")
    report = json_of(capsys, "ingest", model, "--name", "net", status=1)
    assert (report["verdict"], report["version"]["verdict"]) == ("findings", "findings")
    assert ("signature-mismatch", "high") in findings(report)
    [one] = [one for one in report["findings"] if one["rule"] == "signature-mismatch"]
    assert one["message"] == "signed by the key 'release', and not these files: model.onnx changed"


def test_a_signature_is_told_of_where_no_key_is_trusted(model: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "models", "sign", "./net", "--key", key)
    report = json_of(capsys, "ingest", model)
    assert (report["verdict"], findings(report)) == ("clean", [("signature-not-checked", "info")])


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ('{"release": "nowhere.pub"}', "MODELPORT_SIGNING_KEYS: nowhere.pub: the key could not be read"),
        ('["release"]', "MODELPORT_SIGNING_KEYS"),
    ],
)
def test_a_key_that_cannot_be_read_stops_the_start(
    keys: str, says: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_SIGNING_KEYS", keys)
    assert says in said(capsys, "ingest", model, status=2)


def test_the_commands_of_the_page_make_keys_that_are_taken(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "signatures.md").read_text(encoding="utf-8")
    for line in page.splitlines():
        if line.startswith("openssl"):
            subprocess.run(line.split(), cwd=tmp_path, check=True, capture_output=True)
    said(capsys, "models", "sign", "./net", "--key", "release.pem")
    said(capsys, "models", "check-signature", "./net", "--key", "release.pub")
