"""Images, files and sounds in a prompt: parts between pieces of text, as DSPy's adapters write them.

A prompt is written as one text, with a mark where a part belongs, and cut there in the end. The marks
of a process are its own: a text that somebody typed can't hold one (DSPy's are always the same).
"""

import re
import secrets
import types
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union, get_args, get_origin

import msgspec

from pipelines.graph.known_types import HostValue
from pipelines.graph.signature import Field

type Parts = list[dict[str, Any]]

_MARK = f"<<part-{secrets.token_hex(12)}:"
_MARKS = re.compile(re.escape(_MARK) + r"([\w=-]*)>>")
_URL = re.compile(r"(https?|gs)://[^/\s]")
_DATA_URI = re.compile(r"data:[\w.+-]+/([\w.+-]+)(;[^,]*)?,")
# How a demo of a program that DSPy saved holds such a value.
_SAVED = re.compile(
    r"<<CUSTOM-TYPE-START-IDENTIFIER>>(.*)<<CUSTOM-TYPE-END-IDENTIFIER>>", re.DOTALL
)


def media_of(annotation: Any) -> str | None:
    """The name of the DSPy type, where the annotation is one of those that are parts of a prompt."""
    if isinstance(annotation, type) and issubclass(annotation, HostValue):
        return annotation.__name__ if annotation.__name__ in _PARTS else None
    return None


def has_media(annotation: Any) -> bool:
    return media_of(annotation) is not None or any(map(has_media, get_args(annotation)))


def carries(annotation: Any) -> bool:
    """Whether every DSPy type in the annotation is one of these, in a place where values can be told
    apart: by itself, optional, or in a list or dict."""
    if isinstance(annotation, type) and issubclass(annotation, HostValue):
        return media_of(annotation) is not None
    arguments = get_args(annotation)
    if not any(map(_is_dspys, arguments)):
        return True
    members = [each for each in arguments if each is not types.NoneType]
    if get_origin(annotation) in (Union, types.UnionType) and len(members) > 1:
        return False
    return get_origin(annotation) in (Union, types.UnionType, list, dict) and all(
        map(carries, members)
    )


def _is_dspys(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, HostValue):
        return True
    return any(map(_is_dspys, get_args(annotation)))


def media_fields(fields: Iterable[Field]) -> dict[str, Any]:
    """Annotations by name, of the fields that have parts in them."""
    return {field.name: field.annotation for field in fields if has_media(field.annotation)}


def marked(value: Any, annotation: Any) -> Any:
    """The value with marks in the place of parts. A ValueError for what is none."""
    if value is None:
        return None
    name = media_of(annotation)
    if name is not None:
        return "".join(_MARK + _packed(part) + ">>" for part in _parts(name, value))
    arguments = [each for each in get_args(annotation) if each is not types.NoneType]
    if get_origin(annotation) is list and isinstance(value, list):
        return [marked(item, arguments[0]) for item in value]
    if get_origin(annotation) is dict and isinstance(value, Mapping):
        return {key: marked(item, arguments[1]) for key, item in value.items()}
    if get_origin(annotation) in (Union, types.UnionType):
        return marked(value, arguments[0])
    return value


def cut(text: str) -> str | Parts:
    """The text in pieces with its parts between them; the text itself when it has none."""
    pieces: Parts = []
    end = 0
    for mark in _MARKS.finditer(text):
        if mark.start() > end:
            pieces.append({"type": "text", "text": text[end : mark.start()]})
        pieces.append(msgspec.json.decode(urlsafe_b64decode(mark[1])))
        end = mark.end()
    if not pieces:
        return text
    if end < len(text):
        pieces.append({"type": "text", "text": text[end:]})
    return pieces


def _packed(part: dict[str, Any]) -> str:
    return urlsafe_b64encode(msgspec.json.encode(part)).decode()


def _parts(name: str, value: Any) -> Parts:
    if isinstance(value, str) and (saved := _SAVED.fullmatch(value)):
        try:
            return msgspec.json.decode(saved[1], type=list[dict[str, Any]])
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise ValueError(f"it holds a saved {name} that can't be read.") from None
    return [_PARTS[name](value)]


def _image(value: Any) -> dict[str, Any]:
    url = value.get("url") if isinstance(value, Mapping) and set(value) == {"url"} else value
    url = url.strip() if isinstance(url, str) else ""
    if not (_URL.match(url) or url.startswith("data:")):
        raise ValueError("an image is an address (https://…), a data URI, or {'url': …} with one.")
    return {"type": "image_url", "image_url": {"url": url}}


_FILE_KEYS = ("file_data", "file_id", "filename")


def _file(value: Any) -> dict[str, Any]:
    if isinstance(value, str) and value.startswith("data:"):
        value = {"file_data": value}
    if (
        not isinstance(value, Mapping)
        or not value
        or set(value) - set(_FILE_KEYS)
        or not all(item is None or isinstance(item, str) for item in value.values())
    ):
        raise ValueError(
            "a file is a data URI, or an object with any of file_data, file_id and filename."
        )
    kept = {key: value[key].strip() for key in _FILE_KEYS if value.get(key)}
    return {"type": "file", "file": kept}


def _audio(value: Any) -> dict[str, Any]:
    if isinstance(value, str) and (uri := _DATA_URI.match(value)):
        kind, data = uri[1].removeprefix("x-"), value[uri.end() :]
        return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}
    if (
        isinstance(value, Mapping)
        and set(value) == {"data", "audio_format"}
        and all(isinstance(item, str) for item in value.values())
    ):
        told = {"data": value["data"], "format": value["audio_format"]}
        return {"type": "input_audio", "input_audio": told}
    raise ValueError("a sound is a data URI, or an object with data (Base64) and audio_format.")


_PARTS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "dspy.Image": _image,
    "dspy.File": _file,
    "dspy.Audio": _audio,
}
