"""Typed readers of environment variables.

A variable that is missing or empty gives the default. One that can't be read stops the start and
says what was expected: a setting that is silently ignored is worse than none.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off")


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def flag(name: str, default: bool) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value not in TRUE + FALSE:
        raise ImproperlyConfigured(f"{name} is '{value}'. Set it to true or false.")
    return value in TRUE


def directory(name: str, default: Path) -> Path:
    """An absolute path to a directory that exists afterwards, made for its owner alone if new."""
    path = Path(text(name, str(default))).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} is '{path}', which can't be used as a directory: {error.strerror}. "
            "Set it to a directory that DSPex may write to."
        ) from error
    return path


def origins(name: str) -> list[str]:
    """Web origins (scheme, host, and port unless it is the usual one), separated by commas."""
    found = [part.strip() for part in text(name).split(",") if part.strip()]
    for origin in found:
        if not _is_origin(origin):
            raise ImproperlyConfigured(
                f"{name} names '{origin}', which is not an origin. "
                "Write it as https://dspex.example or http://192.0.2.1:8000."
            )
    if len({urlsplit(origin).scheme for origin in found}) > 1:
        raise ImproperlyConfigured(
            f"{name} mixes http and https. Name the origins of one: cookies can't serve both."
        )
    return found


def _is_origin(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and "*" not in origin
            and origin == f"{parts.scheme}://{parts.netloc}"
            and "@" not in parts.netloc
            and parts.port != 0
        )
    except ValueError:  # a port that is no number, a bracket that is not closed
        return False
