"""Typed readers of environment variables.

A variable that is missing or empty gives the default. One that can't be read stops the start and
says what was expected: a setting that is silently ignored is worse than none.
"""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured

from runner.bridge.pool_settings import InvalidPoolSettings, PoolSettings, read_pool

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


def number(name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
    """A whole number within its limits."""
    value = text(name)
    if not value:
        return default
    found = int(value) if value.isdecimal() else -1
    if found < least or (most is not None and found > most):
        up_to = f"{least} or more" if most is None else f"from {least} to {most}"
        raise ImproperlyConfigured(f"{name} is '{value}'. Set it to a whole number, {up_to}.")
    return found


def secrets(name: str, shortest: int) -> list[str]:
    """Secrets, separated by commas; none may be so short that it can be guessed."""
    found = [part.strip() for part in text(name).split(",") if part.strip()]
    for place, secret in enumerate(found, start=1):
        if len(secret) < shortest:  # what it is stays out of the message
            raise ImproperlyConfigured(
                f"{name}: secret {place} has {len(secret)} characters; {shortest} is the least. "
                "Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
            )
    return found


def time_zone(name: str) -> str:
    """A zone such as Europe/Berlin; the machine's own by default, else UTC."""
    value = text(name)
    if not value:
        return _zone_of_machine()
    try:
        ZoneInfo(value)
    except (ValueError, ZoneInfoNotFoundError):
        raise ImproperlyConfigured(
            f"{name} is '{value}', which is no time zone. Write it as Europe/Berlin, or UTC."
        ) from None
    return value


def _zone_of_machine() -> str:
    place = Path(text("TZ") or "/etc/localtime")
    name = str(place.resolve()).partition("/zoneinfo/")[2] if place.is_absolute() else str(place)
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return "UTC"


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


def url(name: str) -> str:
    """An http or https address."""
    value = text(name)
    if value and not (urlsplit(value).scheme in ("http", "https") and urlsplit(value).hostname):
        raise ImproperlyConfigured(
            f"{name} is '{value}'. Set it to an address such as http://127.0.0.1:4318."
        )
    return value


def postgresql(name: str) -> dict[str, Any] | None:
    """A database's address, postgresql://user:password@host:port/name, as Django's settings have it; what
    follows a `?` are options of libpq, such as sslmode or, for a Unix socket, host."""
    value = text(name)
    if not value:
        return None
    parts = urlsplit(value)
    database = unquote(parts.path.removeprefix("/"))
    if parts.scheme not in ("postgres", "postgresql") or not database or "/" in database:
        # The address may have a password in it: it is not repeated.
        raise ImproperlyConfigured(
            f"{name} is no address of a PostgreSQL database. "
            "Write it as postgresql://user:password@host:5432/name."
        )
    _needs(name, "psycopg")
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", "") or parts.hostname or "",
        "PORT": options.pop("port", "") or str(parts.port or ""),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


def redis(name: str) -> str:
    """The address of a Redis server."""
    value = text(name)
    if value and urlsplit(value).scheme not in ("redis", "rediss", "unix"):
        raise ImproperlyConfigured(
            f"{name} is no address of a Redis server. Write it as redis://127.0.0.1:6379."
        )
    if value:
        _needs(name, "channels_redis")
    return value


def _needs(name: str, module: str) -> None:
    """Say how a package is had that only some installations want."""
    if find_spec(module) is None:
        raise ImproperlyConfigured(
            f"{name} is set, and {module.replace('_', '-')} is not installed. `make cluster` brings it."
        )


def pairs(name: str) -> dict[str, str]:
    """`key=value`, separated by commas; both may be percent-encoded. The values may be secrets."""
    found = {}
    for number, part in enumerate(text(name).split(","), start=1):
        key, equals, value = part.partition("=")
        if part.strip() and not (equals and key.strip()):
            raise ImproperlyConfigured(f"{name}: part {number} is not of the form key=value.")
        if key.strip():
            found[unquote(key.strip())] = unquote(value.strip())
    return found


def pools(prefix: str, defaults: Iterable[PoolSettings]) -> tuple[PoolSettings, ...]:
    """Pools, each changed by a variable of its name: DSPEX_POOL_NEURAL="size=4, affinity=hint"."""
    found = []
    for pool in defaults:
        name = f"{prefix}_{pool.name.upper()}"
        try:
            found.append(read_pool(pool, pairs(name)))
        except InvalidPoolSettings as error:
            raise ImproperlyConfigured(f"{name}: {error}") from None
    return tuple(found)


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
