"""Runs templates and expressions that users write, over plain data, in bounded time and memory.

minijinja has no Python in it, but three doors had to be closed:
- It hands Python lists and dicts through as the objects they are, methods included, so that
  `{{ x.clear() }}` empties the run's own data. Values go in wrapped, with nothing to call.
- Fuel counts instructions, not bytes: see `template_scan.py`. The scan bounds what operators make;
  the filters that make text are ours and metered.
- A text with a lone surrogate would arrive as a Python `str`, whose `format` reaches attributes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from time import monotonic
from typing import Any

import minijinja

from pipelines.graph.template_filters import GROWS, MAKERS, range_of
from pipelines.graph.template_scan import LOOP, Scan, is_one_expression, scan
from pipelines.graph.template_values import (
    SandboxError,
    Watched,
    items_of,
    size_of,
    to_json,
    unwrapped,
    wrapped,
)

__all__ = ["SandboxError", "evaluate", "known_names", "render", "variables"]

MAX_OUTPUT = 4_000_000  # characters
MAX_VALUE = 8_000_000  # characters that one value can reach, by the scan's reckoning
FUEL, LEAST_FUEL = 200_000, 2_000
# Outside of loops a template takes each of its steps once, and a step may touch every character.
MAX_TOUCHED = 50_000_000
MAX_SECONDS = 1.0  # asked between the rounds of loops, where steps are repeated
COMPILED = 256

# Globals and filters of minijinja that make more than they are given, or reach what is no data.
# Some come back as ours, metered: see MAKERS.
GLOBALS = ("debug", "dict", "namespace", "range")
FILTERS = (
    *("attr", "batch", "chain", "e", "escape", "format", "indent", "join", "pprint", "replace"),
    *("safe", "slice", "string", "tojson", "urlencode", "zip"),
)


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template filled in; a SandboxError names the missing variable, the limit or the line.

    Values are JSON. Lists and dicts are written as JSON and null as nothing; names without a value
    are errors; nothing is escaped.
    """
    compiled = _compile(template)
    return compiled.run(values)[0]


def evaluate(expression: str, values: Mapping[str, Any]) -> Any:
    """The value of one expression (written without braces) as JSON; errors as in `render`."""
    compiled = _compile_expression(expression)
    return unwrapped(compiled.run(values)[1])


def variables(template: str) -> tuple[str, ...]:
    """The names that a template reads, in order of appearance; a SandboxError when it can't be run.

    Nothing is rendered. Safe for any text, which minijinja's own function is not: see
    `template_scan.py`.
    """
    return _compile(template).variables


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNames:
    """What there is to call in a template. A global that reads as a variable is no function."""

    filters: tuple[str, ...]
    tests: tuple[str, ...]
    functions: tuple[str, ...]


def known_names() -> KnownNames:
    """The names as minijinja itself lists them, in an environment that is made as all are."""
    # `debug` is the only way to see them; no environment that renders a template has it.
    environment = _compile("").make_environment(
        without=tuple(name for name in GLOBALS if name != "debug")
    )
    shown = environment.render_str("{{ debug() }}")
    others = [name for name in environment.globals if name != "debug"]
    functions = [name for name in others if not variables("{{ " + name + "() }}")]
    return KnownNames(
        filters=_listed(shown, "filters"),
        tests=_listed(shown, "tests"),
        functions=tuple(functions),
    )


def _listed(shown: str, what: str) -> tuple[str, ...]:
    found = re.search(rf"^\s+{what}: \[(.*?)\]", shown, re.DOTALL | re.MULTILINE)
    return tuple(re.findall(r'"([^"]+)"', found[1])) if found else ()


@lru_cache(maxsize=COMPILED)
def _compile(template: str) -> "_Compiled":
    return _Compiled(template, scan(template))


@lru_cache(maxsize=COMPILED)
def _compile_expression(expression: str) -> "_Compiled":
    if not is_one_expression(expression):
        raise SandboxError(f"'{expression}' is not one expression. Write it without braces.")
    return _compile("{{ " + expression + " }}")


class _Compiled:
    """A parsed template in an environment of its own, and the meter of the render going on."""

    def __init__(self, template: str, scanned: Scan) -> None:
        self._scan = scanned
        self._size = len(template)
        self._lock = Lock()
        self._printed = self._made = self._made_limit = 0
        self._deadline = 0.0
        self._value: Any = None
        self._environment = self.make_environment()
        try:
            self._environment.add_template("template", scanned.source)
        except minijinja.TemplateError as error:
            raise self._translated(error) from None
        names = self._environment.undeclared_variables_in_template("template") - {"range"}
        self.variables = tuple(sorted(names, key=lambda name: _first_use(template, name)))

    def make_environment(self, without: tuple[str, ...] = GLOBALS) -> minijinja.Environment:
        environment = minijinja.Environment(
            undefined_behavior="strict",
            auto_escape_callback=lambda name: False,
            finalizer=self._print,
            pycompat=False,
            keep_trailing_newline=True,
        )
        for name in without:
            environment.remove_global(name)
        for name in FILTERS:
            environment.remove_filter(name)
        for name, make in MAKERS.items():
            environment.add_filter(name, self._metered(make))
        environment.add_filter(LOOP, self._watch)
        environment.add_global("range", self._metered(range_of))
        return environment

    def run(self, values: Mapping[str, Any]) -> tuple[str, Any]:
        """The text, and the value that was printed last."""
        size = self._size + size_of(values)
        context = {name: wrapped(value) for name, value in values.items()}
        with self._lock:
            self._prepare(size)
            try:
                text = self._environment.render_template("template", **context)
            except minijinja.TemplateError as error:
                raise self._translated(error) from None
            except Exception as error:
                # From a wrapper or one of our filters: minijinja lets Python's errors through.
                raise _from_python(error) from None
            finally:
                value, self._value = self._value, None
        if len(text) > MAX_OUTPUT:
            raise SandboxError(f"The text is longer than {MAX_OUTPUT:,} characters.")
        return text, value

    def _prepare(self, size: int) -> None:
        self._printed = self._made = 0
        self._made_limit = 2 * size + 20_000
        base = size + (self._made_limit if self._scan.makes else 0)
        reach = base * self._scan.growth
        if reach > MAX_VALUE or reach * self._scan.tokens > MAX_TOUCHED:
            raise SandboxError(GROWS)
        # Literal text goes to the output unseen, once an instruction at most.
        printable = 4 * MAX_OUTPUT // max(1, self._scan.longest_text)
        self._environment.fuel = min(FUEL, max(LEAST_FUEL, printable))
        self._deadline = monotonic() + MAX_SECONDS

    def _watch(self, value: Any) -> Any:
        return Watched(items_of(value), self._check_time)

    def _check_time(self) -> None:
        if monotonic() > self._deadline:
            raise SandboxError("It takes too long: does it repeat something large?")

    def _print(self, value: Any) -> Any:
        """minijinja's hook on everything that is printed. Null, and an `if` without its `else`, are
        nothing; both arrive here as None."""
        self._value = value
        if value is None:
            return ""
        if isinstance(value, bool | int | float):
            return value
        text = value if isinstance(value, str) else to_json(unwrapped(value))
        self._printed += len(text)
        if self._printed > MAX_OUTPUT:
            raise SandboxError(f"The text is longer than {MAX_OUTPUT:,} characters.")
        return text

    def _translated(self, error: minijinja.TemplateError) -> SandboxError:
        text = error.detail or error.message
        message = f"{text[:1].upper()}{text[1:]}."
        if error.kind == "OutOfFuel":
            message = "It takes too many steps: does a loop end?"
        elif error.kind == "UndefinedError":
            message = f"It reads a name that has no value: {text}."
        return SandboxError(message, error.line or 0, *self._place(error.range))

    def _place(self, found: tuple[int, int] | None) -> tuple[int, int] | tuple[None, None]:
        """minijinja counts the bytes of what it was given."""
        if found is None:
            return None, None
        source = self._scan.source.encode()
        start, end = (len(source[:byte].decode(errors="ignore")) for byte in found)
        return self._scan.place(start), self._scan.place(end)

    def _metered(self, make: Any) -> Any:
        def metered(*arguments: Any, **named: Any) -> Any:
            room = self._made_limit - self._made
            try:
                made = make(room, *arguments, **named)
            except TypeError as error:
                raise SandboxError(
                    f"'{make.__name__.strip('_')}' can't be used so: {error}."
                ) from None
            self._made += len(made) + 1
            if self._made > self._made_limit:
                raise SandboxError(GROWS)
            return made

        return metered


def _first_use(template: str, name: str) -> tuple[int, str]:
    found = re.search(rf"\b{re.escape(name)}\b", template)
    return (found.start() if found else len(template), name)


def _from_python(error: Exception) -> SandboxError:
    if isinstance(error, SandboxError):
        return error
    if isinstance(error, AttributeError):
        return SandboxError(f"A value has no '{error.name}'.")
    return SandboxError(f"It can't be done: {error}.")
