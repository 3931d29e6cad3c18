"""The inspector's form, made from a kind's config model: which control a field gets, how its text
becomes a value, and what is said when it does not."""

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipelines.graph.codec import plain
from pipelines.views.code_marks import Mark

Widget = Literal[
    "text", "area", "number", "switch", "choice", "segments", "lines", "json", "rows",
    "signature", "template", "expression", "profile", "collection",
]  # fmt: skip
_LONG = 5_000
"""Texts that may be longer than this get several lines."""
_UNITS = {"timeout": "s", "backoff": "s", "retries": "×"}
_LABELS = {"lm": "LM profile", "k": "Passages", "url": "ColBERT server", "demos": "Demonstrations"}
_MAIN_JSON = frozenset({"options"})
UNSET = object()
NOTHING: Mapping[str, str] = types.MappingProxyType({})


class BadValue(ValueError):
    """The text in a field is no value of its type; `mark` is where it goes wrong."""

    def __init__(self, message: str, mark: Mark | None = None) -> None:
        super().__init__(message)
        self.mark = mark


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One control. `text` is what stands in it; `value` what is stored; `placeholder` what holds while
    nothing is."""

    name: str
    label: str
    widget: Widget
    text: str
    value: Any
    hint: str = ""
    optional: bool = False
    options: tuple[tuple[str, str], ...] = ()
    unit: str = ""
    placeholder: str = ""
    error: str = ""
    minimum: float | None = None
    maximum: float | None = None
    whole: bool = False

    @property
    def is_wide(self) -> bool:
        return self.widget not in ("number", "choice", "switch")

    @property
    def shows_hint(self) -> bool:
        """Small controls say theirs on hovering; there is no room for more."""
        return self.is_wide and self.widget not in ("signature", "profile", "segments")


def form_fields(
    model: type[BaseModel], values: Mapping[str, Any], lacks: Mapping[str, str] = NOTHING
) -> list[FormField]:
    """All fields, in the order of the model, but the signature's own first. `lacks` says at which of them
    something is missing or does not fit the others."""
    errors = {**lacks, **errors_in(model, values)}
    found = [
        _form_field(name, info, values, errors.get(name, ""))
        for name, info in model.model_fields.items()
    ]
    return sorted(found, key=lambda each: each.name not in ("module", "signature", "instructions"))


def is_rare(each: FormField) -> bool:
    """What most people never touch, kept behind a fold unless it is set."""
    return each.widget == "json" and each.name not in _MAIN_JSON and not each.value


def errors_in(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, str]:
    """The first message for each field; what concerns the whole is said at the signature."""
    found: dict[str, str] = {}
    for detail in _details(model, values):
        place = str(detail["loc"][0]) if detail["loc"] else "signature"
        found.setdefault(place, _said(detail))
    return found


def path_in(model: type[BaseModel], values: Mapping[str, Any], name: str) -> str:
    """The way through a field's value to its first error, as a JSON list; empty: it is the whole's."""
    places = (detail["loc"] for detail in _details(model, values))
    path = next((place[1:] for place in places if place and place[0] == name), ())
    return json.dumps(path) if path else ""


def _details(model: type[BaseModel], values: Mapping[str, Any]) -> Sequence[Any]:
    try:
        model.model_validate(plain(values))
    except ValidationError as error:
        return error.errors(include_url=False, include_input=False)
    return ()


def _said(detail: Any) -> str:
    """pydantic's message without its preface, and with the place inside the value."""
    message = _limit(detail) or detail["msg"].removeprefix("Value error, ").split("\n")[0]
    within = ".".join(str(part) for part in detail["loc"][1:])
    return f"{within}: {message}" if within else message


def _limit(detail: Any) -> str:
    """A limit in figures, with what it means for what was typed."""
    limits = detail.get("ctx", {})
    for name, text in _LIMITS.items():
        if name in limits and detail["type"].startswith(_LIMITED):
            limit = limits[name]
            figure = int(limit) if limit == int(limit) else limit
            unit = " characters" if detail["type"].startswith("string") else ""
            return f"Not saved: {figure:,}{unit} {text}."
    return ""


_LIMITED = ("less_than", "greater_than", "string_too", "too_long", "too_short")
_LIMITS = {
    "le": "is the most",
    "lt": "is too much already",
    "ge": "is the least",
    "gt": "is too little still",
    "max_length": "is the most",
    "min_length": "is the least",
}


def read_text(model: type[BaseModel], name: str, text: str) -> Any:
    """The JSON value that the text in a field stands for; UNSET to take its default. Raises BadValue."""
    info = model.model_fields[name]
    widget = _widget(name, info)
    if not text.strip() and (not info.is_required() or widget in ("number", "json")):
        return UNSET
    return value_of(widget, text, whole=float not in _members(info.annotation))


def value_of(widget: Widget, text: str, *, whole: bool) -> Any:
    """The JSON value that a control's text stands for. Raises BadValue."""
    if widget == "switch":
        return text == "true"
    if widget == "number":
        return _number(text, whole=whole)
    if widget == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if widget in ("json", "rows"):
        return _json(text)
    return text.replace("\r\n", "\n")


def _number(text: str, *, whole: bool) -> float | int:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        wanted = "a whole number" if whole else "a number"
        raise BadValue(f"Not saved: use {wanted}.") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        mark = Mark(line=error.lineno, column=error.colno)
        raise BadValue(f"Not saved: this is not JSON (line {error.lineno}).", mark) from None
    except (ValueError, RecursionError):
        raise BadValue("Not saved: this is not JSON.") from None


def _form_field(name: str, info: FieldInfo, values: Mapping[str, Any], error: str) -> FormField:
    value = plain(values[name]) if name in values else None
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    widget = _widget(name, info)
    limits = _limits(info)
    return FormField(
        name=name,
        label=_LABELS.get(name, name.replace("_", " ").capitalize()),
        widget=widget,
        value=value,
        text=_text(widget, value if name in values else plain(default)),
        hint=_sentence(info.description or ""),
        optional=not info.is_required() and default in (None, ""),
        options=tuple((choice, _worded(choice)) for choice in _choices(info.annotation)),
        unit=_UNITS.get(name, ""),
        error=error,
        minimum=limits.get("ge"),
        maximum=limits.get("le"),
        whole=float not in _members(info.annotation),
    )


def _widget(name: str, info: FieldInfo) -> Widget:
    editor = (info.json_schema_extra or _extra_in(info)) or {}
    if isinstance(editor, dict) and editor.get("x-editor") in (
        "signature",
        "template",
        "expression",
    ):
        return editor["x-editor"]  # type: ignore[return-value]
    by_name: dict[str, Widget] = {"lm": "profile", "collection": "collection"}
    if name in by_name:
        return by_name[name]
    kind = _members(info.annotation)
    choices = _choices(info.annotation)
    if choices:
        return "segments" if len(choices) <= 3 else "choice"
    if bool in kind:
        return "switch"
    if int in kind or float in kind:
        return "number"
    if str in kind:
        return "area" if _limits(info).get("max_length", 0) > _LONG else "text"
    if _is_rows(info):
        return "rows"
    return "lines" if _is_lines(info) else "json"


def _extra_in(info: FieldInfo) -> Any:
    """A named type (`type X = Annotated[…]`) keeps what was noted on it to itself."""
    named = getattr(info.annotation, "__value__", None)
    for note in get_args(named):
        if isinstance(note, FieldInfo) and note.json_schema_extra:
            return note.json_schema_extra
    return None


def _limits(info: FieldInfo) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for note in info.metadata:
        for key in ("ge", "gt", "le", "lt", "max_length", "min_length"):
            if (limit := getattr(note, key, None)) is not None:
                found[key] = limit
    return found


def _members(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def _choices(annotation: Any) -> tuple[str, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _is_lines(info: FieldInfo) -> bool:
    return get_origin(info.annotation) is tuple and get_args(info.annotation)[0] is str


def _is_rows(info: FieldInfo) -> bool:
    """A list of small objects with a name and a type each: the fields of an interface."""
    if get_origin(info.annotation) is not tuple:
        return False
    item = get_args(info.annotation)[0]
    return isinstance(item, type) and issubclass(item, BaseModel)


def _text(widget: Widget, value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return ""
    if widget == "switch":
        return "true" if value else "false"
    if widget == "lines":
        return "\n".join(str(item) for item in value) if isinstance(value, list) else str(value)
    if widget == "json":
        return json.dumps(value, indent=2, ensure_ascii=False) if value not in ({}, []) else ""
    if widget == "rows":
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _worded(choice: str) -> str:
    return {"dspy": "DSPy"}.get(choice, choice.replace("_", " ").capitalize())


def _sentence(text: str) -> str:
    """As pydantic's descriptions are written: without a capital, or ending in one."""
    return text[:1].upper() + text[1:]
