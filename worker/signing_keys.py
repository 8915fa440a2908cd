"""Keys on elliptic curves, from PEM: what signs, and what tells who signed. The only module that knows `cryptography`.

That comes with the extra `modelport[signing]`, and is imported when a key is read.

Source: OpenSSF Model Signing v1.0, which takes P-256, P-384 and P-521, each with the SHA-2 of its size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.errors import BadSetting

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey

CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""The curves that a key may be on, and the hash that goes with each."""

MAX_KEY_BYTES = 64 << 10
"""Size of a file that is taken for a key."""


@dataclass(frozen=True, slots=True)
class PublicEcKey:
    """The public half of a key."""

    key: EllipticCurvePublicKey

    @property
    def hint(self) -> str:
        """Return the SHA-256, in hex, of the key's PEM: so bundles name a key."""
        return hashlib.sha256(_pem(self.key)).hexdigest()

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Tell whether *signature* of *message* was made with the private half."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature, message, _with_hash(self.key))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateEcKey:
    """A key that signs."""

    key: EllipticCurvePrivateKey

    @property
    def hint(self) -> str:
        """Return the hint of the public half."""
        return PublicEcKey(self.key.public_key()).hint

    def sign(self, message: bytes) -> bytes:
        """Return the signature of *message*."""
        return self.key.sign(message, _with_hash(self.key.public_key()))


def public_key(path: Path) -> PublicEcKey:
    """Return the public key in the file at *path*.

    Raises:
        BadSetting: there is none, or none that model signing takes.
    """
    return PublicEcKey(_known(_loaded(path, "public"), path))


def private_key(path: Path, password: bytes | None = None) -> PrivateEcKey:
    """Return the private key in the file at *path*, which *password* opens; None where it is not encrypted.

    Raises:
        BadSetting: there is none, or none that model signing takes; or the password is not the one.
    """
    key = _loaded(path, "private", password)
    _known(key, path)
    return PrivateEcKey(key)


def _loaded(path: Path, half: str, password: bytes | None = None) -> Any:
    """Return the *half* of a key in the file at *path*."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
    except ImportError as exc:
        raise BadSetting(f"{path}: keys need the extra modelport[signing], which is not installed") from exc
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_BYTES)
        if half == "public":
            return serialization.load_pem_public_key(data)
        return serialization.load_pem_private_key(data, password)
    except OSError as exc:
        raise BadSetting(f"{path}: the key could not be read: {exc.strerror or exc}") from exc
    except TypeError as exc:
        raise BadSetting(f"{path}: {exc}") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        why = " that the password opens" if password else ""
        raise BadSetting(f"{path}: expected a {half} key in PEM{why}, found something else") from exc


def _known(key: Any, path: Path) -> Any:
    """Return *key* where it is on a curve that the format knows."""
    curve = getattr(getattr(key, "curve", None), "name", None)
    if curve not in CURVES:
        expected = "expected a key on one of the elliptic curves P-256, P-384 and P-521"
        raise BadSetting(f"{path}: {expected}, found {curve or type(key).__name__}")
    return key


def _pem(key: EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _with_hash(key: EllipticCurvePublicKey) -> ECDSA:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    return ECDSA(getattr(hashes, CURVES[key.curve.name])())
