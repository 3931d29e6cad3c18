"""Keys never leave the gateway: not in an answer, an event or an error. They are found by value."""

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "•••"
# Shorter ones are no secret, and masking them would garble ordinary text.
SHORTEST_KEY = 4


class Masker:
    """Replaces every occurrence of some keys. Free of cost when there are none."""

    def __init__(self, keys: Iterable[str]) -> None:
        found = {form for key in keys if len(key) >= SHORTEST_KEY for form in _forms(key)}
        self.keys = sorted(found, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, self.keys))) if self.keys else None

    def text(self, text: str) -> str:
        return self._any.sub(MASK, text) if self._any else text

    def value(self, value: Any) -> Any:
        """The same JSON value without keys."""
        if not self._any:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value


def _forms(key: str) -> set[str]:
    """The key as it is, in an address and in JSON text: an error may quote either."""
    return {key, quote(key, safe=""), quote_plus(key), json.dumps(key)[1:-1]}


class StreamMasker:
    """Masks a text that comes in deltas, holding back an end that may be the beginning of a key."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = ""

    def feed(self, delta: str) -> str:
        text = self._masker.text(self._held + delta)
        end = min((_key_begins(text, key) for key in self._masker.keys), default=len(text))
        self._held = text[end:]
        return text[:end]

    def finish(self) -> str:
        text, self._held = self._held, ""
        return text


def _key_begins(text: str, key: str) -> int:
    """Where the end of `text` begins that is a beginning of `key`."""
    at = text.find(key[0], max(0, len(text) - len(key) + 1))
    while at >= 0 and not key.startswith(text[at:]):
        at = text.find(key[0], at + 1)
    return at if at >= 0 else len(text)
