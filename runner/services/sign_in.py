"""One-time sign-in for the person who started DSPex on this machine, as Jupyter does it.

A token is a file in the data directory, named by the token's hash: whoever can read the directory
can't sign in with what is there, and taking the file away is what makes it work once only, even when
two try at the same time.
"""

import hashlib
import json
import secrets
import time
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

PATH = "/sign-in/"
LIFETIME = 15 * 60
"""Seconds."""


def sign_in_token(*, user: User, lifetime: float = LIFETIME) -> str:
    """A token that signs this person in once."""
    folder = _folder()
    _drop_expired(folder)
    token = secrets.token_urlsafe(32)
    path = folder / _digest(token)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"user": user.pk, "until": time.time() + lifetime}))
    return token


def redeem_sign_in(*, token: str) -> User | None:
    """Whom the token signs in; None when it is unknown, used or too old. It is used afterwards."""
    path = _folder() / _digest(token)
    try:
        content = json.loads(path.read_text())
        path.unlink()  # of two at the same time, one fails here
    except (OSError, ValueError):
        return None
    if content["until"] < time.time():
        return None
    return User.objects.filter(pk=content["user"], is_active=True).first()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _folder() -> Path:
    folder = Path(settings.DATA_DIR) / "sign_in"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _drop_expired(folder: Path) -> None:
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - 2 * LIFETIME:
            path.unlink(missing_ok=True)
