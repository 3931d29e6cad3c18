"""Encryption of credentials at rest: AES-256-GCM, under a key derived from the installation's secret.

`context` is authenticated with the secret: a ciphertext that is moved to another row, or whose row is
given another host, can't be read.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.encoding import force_bytes

from pipelines.models.errors import CredentialUnreadable

_NONCE = 12


def encrypt(secret: str, *, context: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + _cipher(_secrets()[0]).encrypt(nonce, secret.encode(), context.encode())


def decrypt(stored: bytes, *, context: str) -> str:
    """The secret; CredentialUnreadable when no key of this installation opens it in this context."""
    nonce, sealed = stored[:_NONCE], stored[_NONCE:]
    for secret in _secrets():
        try:
            return _cipher(secret).decrypt(nonce, sealed, context.encode()).decode()
        except (InvalidTag, ValueError):
            continue
    raise CredentialUnreadable


def _secrets() -> list[str | bytes]:
    """The newest first: it encrypts, and all of them decrypt, so that a secret can be replaced."""
    own: list[str | bytes] = getattr(settings, "CREDENTIAL_KEYS", [])
    return [*own, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def _cipher(secret: str | bytes) -> AESGCM:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"dspex credentials")
    return AESGCM(derivation.derive(force_bytes(secret)))
