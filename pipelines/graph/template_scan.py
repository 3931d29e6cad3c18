"""What a template may do, read from its text before it runs: the statements it uses, and by how
much it can multiply the size of its values.

minijinja counts instructions (fuel), not bytes: `{% set s = s ~ s %}` written forty times is a
hundred instructions and a terabyte, and a failed allocation there ends the whole process. So what
can feed a value back into itself (macros, recursion, namespaces, captures) is refused, and the rest
has a growth that multiplies only from one binding statement to the next. This scan works it out.

minijinja also recurses over what it has parsed, without a limit: thousands of `+`, `-` or `elif` in
a row overflow the stack, which ends the process too. So scan before minijinja sees the text, even if
it is only to list the variables.

The scan follows minijinja's own lexer (minijinja/src/compiler/lexer.rs, 3.0); whatever it does not
know it refuses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.graph.template_values import SandboxError

STATEMENTS = {
    *("if", "elif", "else", "endif", "for", "endfor", "break", "continue"),
    *("set", "with", "endwith"),
}
BINDING = frozenset(("for", "set", "with"))
# Filters and functions of ours that make new text; their results are metered as they run.
MAKERS = frozenset(
    ("escape", "e", "indent", "join", "range", "replace", "string", "tojson", "urlencode")
)
OPERATORS = {"//", "**", "==", "!=", ">=", "<=", *"+-*/%.,:~|=><()[]{}"}
WORDS = {
    *("and", "or", "not", "in", "is", "if", "else"),
    *("true", "false", "none", "True", "False", "None"),
}
NUMBERS = ("float", "int", "length", "count")  # filters that give a number or fail
LARGEST_FACTOR = 1_000
# At a stack of 512 KiB 3,000 operators in a row overflow, or 1,000 elif.
MAX_TOKENS = 1_000  # in one tag
MAX_ELIF = 100
LOOP = "_watched"  # a filter that lets a loop be stopped between two rounds
# JSON text of a text can be six times as long: \u0000.
ESCAPED = 6

TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
    |(?P<name>[^\W\d]\w*)
    |(?P<number>\d\w*(?:\.\d\w*)?)
    |(?P<op>//|\*\*|==|!=|>=|<=|.)""",
    re.VERBOSE | re.DOTALL,
)
MARKER = re.compile(r"\{[{%#]")
RAW = re.compile(r"\s*raw\s*[-+]?%\}")
END_RAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """`type` is string, name, number or op; `start` is its place in the template."""

    type: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """What stands between `{{ }}` (`statement` is false) or `{% %}`."""

    statement: bool
    line: int
    tokens: tuple[Token, ...]

    @property
    def keyword(self) -> str:
        return self.tokens[0].text if self.statement and self.tokens else ""

    def error(self, message: str) -> SandboxError:
        """An error that points at what stands in the tag."""
        if not self.tokens:
            return SandboxError(message, self.line)
        return SandboxError(message, self.line, self.tokens[0].start, self.tokens[-1].end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """`source`: the template with every loop's list passed through the filter LOOP; `inserted`: at
    which places of the template that took how many characters. `tokens`: how many there are in all
    tags. `growth`: how many times the size of all values a value can reach at most. `makes`: whether
    something from MAKERS is used. `longest_text`: characters of the longest literal text."""

    source: str
    inserted: tuple[tuple[int, int], ...]
    tokens: int
    growth: int
    makes: bool
    longest_text: int

    def place(self, in_source: int) -> int:
        """A place of `source`, as one of the template."""
        shift = 0
        for at, count in self.inserted:
            if at + shift >= in_source:
                break
            shift += count
        return in_source - shift


def scan(template: str) -> Scan:
    """The scan of a template, or a SandboxError that names what is not available and its line."""
    tags, longest = _split(template)
    _check_elifs(tags)
    bound, printed = 1, 1
    makes = False
    for tag in tags:
        growth = _growth(tag)
        if tag.keyword in BINDING:
            bound *= growth
        else:
            printed = max(printed, growth)
        makes = makes or any(token.text.strip("'\"") in MAKERS for token in tag.tokens)
    loops = [_looped(tag) for tag in tags if tag.keyword == "for"]
    return Scan(
        source=_with_watched_loops(template, loops),
        inserted=tuple(each for start, end in loops for each in ((start, 1), (end, len(_WATCH)))),
        tokens=sum(len(tag.tokens) for tag in tags),
        growth=bound * printed,
        makes=makes,
        longest_text=longest,
    )


_WATCH = f")|{LOOP} "


def _with_watched_loops(template: str, loops: list[tuple[int, int]]) -> str:
    """`{% for x in list if test %}` as `{% for x in (list)|LOOP if test %}`."""
    parts: list[str] = []
    done = 0
    for start, end in loops:
        parts += [template[done:start], "(", template[start:end], _WATCH]
        done = end
    return "".join([*parts, template[done:]])


def _looped(tag: Tag) -> tuple[int, int]:
    """Where the list of a loop begins and ends: between `in` and `if`, outside of all brackets."""
    start: int | None = None
    end = tag.tokens[-1].end
    depth = 0
    for token in tag.tokens:
        depth += _deeper(token)
        if depth or token.type != "name":
            continue
        if token.text == "in" and start is None:
            start = token.end
        elif token.text == "if" and start is not None:
            end = token.start
            break
    if start is None or start >= end:
        raise tag.error("Write {% for name in list %}.")
    return start, end


def _deeper(token: Token) -> int:
    if token.type != "op":
        return 0
    return (token.text in "([{") - (token.text in ")]}")


def _check_elifs(tags: list[Tag]) -> None:
    elifs = [tag for tag in tags if tag.keyword == "elif"]
    if len(elifs) > MAX_ELIF:
        raise elifs[-1].error(f"A template has {MAX_ELIF} elif at most.")


def is_one_expression(text: str) -> bool:
    """Whether `{{ text }}` is one tag and nothing else."""
    try:
        tags, longest = _split("{{ " + text + " }}")
    except SandboxError:
        return False
    return len(tags) == 1 and longest == 0


def _split(template: str) -> tuple[list[Tag], int]:
    tags: list[Tag] = []
    longest = position = counted = 0
    line = 1
    while (start := _next_marker(template, position)) >= 0:
        longest = max(longest, start - position)
        kind = template[start : start + 2]
        if kind == "{#":
            position = _after(template, "#}", start + 2)
        elif kind == "{%" and RAW.match(template, start + 2):
            end = END_RAW.search(template, start)
            longest = max(longest, (end.start() if end else len(template)) - start)
            position = end.end() if end else len(template)
        else:
            line += template.count("\n", counted, start)
            counted = start
            tag, position = _read_tag(template, start, line)
            tags.append(tag)
    return tags, max(longest, len(template) - position)


def _next_marker(template: str, position: int) -> int:
    found = MARKER.search(template, position)
    return found.start() if found else -1


def _after(template: str, end: str, position: int) -> int:
    found = template.find(end, position)
    return len(template) if found < 0 else found + len(end)


def _read_tag(template: str, start: int, line: int) -> tuple[Tag, int]:
    statement = template[start + 1] == "%"
    end = "%}" if statement else "}}"
    tokens: list[Token] = []
    depth = 0
    # A sign right after the marker controls white space: {%- or {{+.
    position = start + 2 + (template[start + 2 : start + 3] in ("-", "+"))
    while position < len(template):
        ahead = template[position + (template[position] in "-+") :][:2] if depth == 0 else ""
        if ahead == end:
            position += 2 + (template[position] in "-+")
            return Tag(statement=statement, line=line, tokens=tuple(tokens)), position
        token, position = _read_token(template, position, line)
        if token is not None:
            tokens.append(token)
            if len(tokens) > MAX_TOKENS:
                message = f"One tag has {MAX_TOKENS:,} words and signs at most."
                raise SandboxError(message, line, start, token.end)
            depth += _deeper(token)
    message = f"'{template[start : start + 2]}' is never closed with '{end}'."
    raise SandboxError(message, line, start, start + 2)


def _read_token(template: str, position: int, line: int) -> tuple[Token | None, int]:
    found = TOKEN.match(template, position)
    if found is None or found.lastgroup is None:  # `.` matches anything: unreachable by the pattern
        raise SandboxError("The template does not parse.", line, position, position + 1)
    text = found.group()
    if found.lastgroup == "space":
        return None, found.end()
    if found.lastgroup == "op" and text not in OPERATORS:
        raise SandboxError(f"'{text}' is not understood here.", line, position, found.end())
    return Token(type=found.lastgroup, text=text, start=position), found.end()


def _growth(tag: Tag) -> int:
    """How many times the values that go into the tag can be in one value that comes out of it."""
    tokens = tag.tokens
    if tag.statement:
        _check_statement(tag)
    texts = [token.text for token in tokens if token.type == "op"]
    factor = _product(tag) if "*" in texts else 1
    if "~" in texts:
        factor *= ESCAPED
    if not {"~", "+", ","}.intersection(texts):
        return factor
    return factor * max(1, sum(_leaves(tokens)))


def _check_statement(tag: Tag) -> None:
    keyword = tag.keyword
    if keyword not in STATEMENTS:
        raise tag.error(
            f"'{keyword}' is not available in templates. There is: if, for, set, with, raw."
        )
    texts = [token.text for token in tag.tokens if token.type != "string"]
    if "recursive" in texts:
        raise tag.error("A recursive loop is not available in templates.")
    if keyword == "set" and "=" not in texts:
        raise tag.error("Write {% set name = value %}: a block can't be captured.")


def _leaves(tokens: tuple[Token, ...]) -> Iterator[bool]:
    """True for each token that stands for a value of any size."""
    before = ""
    for token in tokens:
        named = token.type == "name" and token.text not in WORDS and before not in (".", "|")
        yield token.type == "string" or named
        before = token.text if token.type == "op" else ""


def _product(tag: Tag) -> int:
    """The growth by `*`, which repeats a text: so one side must be a small number that is written
    out, or both must be made numbers."""
    factor = 1
    for index, token in enumerate(tag.tokens):
        if token.type != "op" or token.text != "*":
            continue
        left, right = tag.tokens[:index], tag.tokens[index + 1 :]
        written = [side for side in (_literal(left[-1:]), _literal(right[:1])) if side is not None]
        numbers = [_is_made_number(left), _starts_made_number(right)]
        if written and (any(numbers) or len(written) == 2):
            continue
        if written and written[0] <= LARGEST_FACTOR:
            factor *= max(1, int(written[0]))
        elif not all(numbers):
            raise tag.error(
                "Multiplication may repeat a text without end. Write one side out (score * 100), "
                "or make both sides numbers (price|float * count|float)."
            )
    return factor


def _literal(side: tuple[Token, ...]) -> float | None:
    if not side or side[0].type != "number":
        return None
    try:
        return float(side[0].text)
    except ValueError:
        return None


def _is_made_number(left: tuple[Token, ...]) -> bool:
    return len(left) > 1 and left[-2].text == "|" and left[-1].text in NUMBERS


def _starts_made_number(right: tuple[Token, ...]) -> bool:
    text = " ".join(token.text for token in right if token.type != "string")
    made = re.match(r"[^\W\d]\w*( \. [^\W\d]\w*| \[ \w+ \])* \| (\w+)(?! \()", text)
    return made is not None and made[2] in NUMBERS
