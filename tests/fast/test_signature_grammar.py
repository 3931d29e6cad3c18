"""The grammar of signatures: what a text means, and where an error in it points."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph.signature import SignatureError, parse

CANONICAL = {
    # sides
    "question -> answer": "question -> answer",
    "a, b: int -> c: list[str]": "a, b: int -> c: list[str]",
    "  a ,b:int->c : list [ str ] ": "a, b: int -> c: list[str]",
    "a,\n\n  b\n -> c": "a, b -> c",
    "a\\\n -> b": "a -> b",
    "a # the input\n -> b # the output": "a -> b",
    "a, b, -> c,": "a, b -> c",
    "->": "->",
    "a ->": "a ->",
    "-> a": "-> a",
    "match, case, type -> self": "match, case, type -> self",
    "copy, json, schema -> list": "copy, json, schema -> list",
    "ﬁ, é, 問題 -> हिन्दी": "fi, é, 問題 -> हिन्दी",
    # plain types
    "a -> b: str": "a -> b: str",
    "a -> b: None": "a -> b: str",
    "a -> b: NoneType": "a -> b: NoneType",
    "a -> b: (int)": "a -> b: int",
    "a -> b: Text": "a -> b: str",
    "a -> b: typing.Any": "a -> b: Any",
    "a: bool, b: float, c: complex -> d: bytes": "a: bool, b: float, c: complex -> d: bytes",
    "a: list, b: dict, c: tuple -> d: set, e: frozenset": (
        "a: list, b: dict, c: tuple -> d: set, e: frozenset"
    ),
    "a: datetime, b: date -> c: Decimal, d: UUID": "a: datetime, b: date -> c: Decimal, d: UUID",
    "a: datetime.datetime, b: datetime.date -> c: decimal.Decimal, d: uuid.UUID": (
        "a: datetime, b: date -> c: Decimal, d: UUID"
    ),
    # generics
    "a -> b: typing . List [ int ]": "a -> b: list[int]",
    "a -> b: Dict[str, List[int]]": "a -> b: dict[str, list[int]]",
    "a -> b: list[int,]": "a -> b: list[int]",
    "a -> b: list[None]": "a -> b: list[None]",
    "a -> b: tuple[int, ...]": "a -> b: tuple[int, ...]",
    "a -> b: Tuple[int, str]": "a -> b: tuple[int, str]",
    "a -> b: Sequence[int], c: Mapping[str, int]": "a -> b: Sequence[int], c: Mapping[str, int]",
    "a -> b: defaultdict[str, int]": "a -> b: DefaultDict[str, int]",
    # unions
    "a -> b: int | None": "a -> b: Optional[int]",
    "a -> b: None | int": "a -> b: Optional[int]",
    "a -> b: None | None": "a -> b: NoneType",
    "a -> b: Union[None, int, str, int]": "a -> b: Union[None, int, str]",
    "a -> b: Union[int]": "a -> b: int",
    "a -> b: Optional[Union[int, str]]": "a -> b: Union[int, str, None]",
    "a -> b: (int | str) | None": "a -> b: Union[int, str, None]",
    "a -> b: list[bool | None]": "a -> b: list[Optional[bool]]",
    # literals
    """a -> b: Literal['a, b', "it's", 'a' 'b', 'ab']""": """a -> b: Literal['a, b', "it's", 'ab']""",
    r"a -> b: Literal['\x41\n\u00e9\N{DIGIT ONE}', r'\n']": r"a -> b: Literal['A\né1', '\\n']",
    "a -> b: Literal[1, True, 1.5, None, 0x10, 1_000]": (
        "a -> b: Literal[1, True, 1.5, None, 16, 1000]"
    ),
    "a -> b: Literal[-1, -2.5e3]": "a -> b: Literal[-1, -2500.0]",
    "a -> b: Literal['->', '#', '''x''']": "a -> b: Literal['->', '#', 'x']",
    # DSPy's own types
    "a: dspy.Image, b: list[dspy.Tool] -> c: dspy.ToolCalls | None": (
        "a: dspy.Image, b: list[dspy.Tool] -> c: Optional[dspy.ToolCalls]"
    ),
    'a -> b: dspy.Code["python"]': "a -> b: dspy.Code['python']",
    # descriptions, which are DSPex's own
    "a: int 'how many' -> b: list[str] 'the ' 'answers'": "a: int -> b: list[str]",
    "a -> b: Annotated[int, 'how many']": "a -> b: int",
}


@pytest.mark.parametrize(("text", "canonical"), CANONICAL.items())
def test_a_text_has_one_canonical_form_which_reads_back_to_the_same(
    text: str, canonical: str
) -> None:
    assert parse(text).text == canonical
    assert parse(canonical).text == canonical


REFUSED = [
    # text, the character the error points at, part of the message
    ("", "", "needs `->`"),
    ("question", "", "needs `->`"),
    ("a -> b -> c", "-> c", "one `->`"),
    ("a - > b", "- >", "write `->`"),
    ("a => b", "=>", "`->`"),
    ("a → b", "→", "write `->`"),
    ("a b -> c", "b", "Expected a comma"),
    (", a -> b", ", a", "name of a field"),
    ("a,, b -> c", ", b", "name of a field"),
    ("1a -> b", "1a", "name of a field"),
    ("a.b -> c", ".b", "Expected a comma"),
    ("a; b -> c", "; b", "no meaning"),
    ("a\0 -> b", "\0", "U+0000"),
    ("a\xa0-> b", "\xa0", "U+00A0"),
    ("class -> b", "class", "Python's own"),
    ("a -> None", "None", "Python's own"),
    ("_a -> b", "_a", "starts with `_`"),
    ("a -> signature", "signature", "DSPy keeps"),
    ("model_dump -> b", "model_dump", "DSPy keeps"),
    ("a, a -> b", "a -> b", "twice on one side"),
    ("a -> b, a", "a", "among the inputs and the outputs"),
    ("a: int = 5 -> b", "=", "no default"),
    ("*rest -> b", "*", "star"),
    ("a, /, b -> c", "/", "slash"),
    ("a): pass\ndef g(x -> b", ")", "Expected a comma"),
    ("a 'why' -> b", "'why'", "after a type"),
    ("a: -> b", "->", "Expected a type"),
    ("a -> b: list[str", "", "Expected `]`"),
    ("a -> b: (int", "", "Expected `)`"),
    ("a -> b: ]", "]", "Expected a type"),
    ("a -> b: 'int'", "'int'", "without quotes"),
    ("a -> b: 5", "5", "no type"),
    ("a -> b: ...", "...", "tuple[int, ...]"),
    ("a -> b: list[...]", "...", "tuple[int, ...]"),
    ("a -> b: (int, str)", ", str", "Expected `)`"),
    ("a -> b: int or str", "or", "Expected a comma"),
    ("a -> b: list[int][str]", "[str]", "Expected a comma"),
    ("a -> b: int[str]", "int", "takes nothing in brackets"),
    ("a -> b: dict[str]", "dict", "takes two types"),
    ("a -> b: list[int, str]", "list", "takes one type"),
    ("a -> b: Optional[int, str]", "int", "takes one type"),
    ("a -> b: List", "List", "needs types in brackets"),
    ("a -> b: Literal", "Literal", "needs types in brackets"),
    ("a -> b: Literal[]", "]", "`Literal` lists"),
    ("a -> b: Literal[int]", "int", "`Literal` lists"),
    ("a -> b: Literal[b'x']", "b'x'", "prefix"),
    ("a -> b: Literal[f'{x}']", "f'", "prefix"),
    ("a -> b: Literal['x", "'x", "never closed"),
    (r"a -> b: Literal['\ud800']", "'", "names no character"),
    (r"a -> b: Literal['\N{NO SUCH}']", "'", "names no character"),
    (r"a -> b: Literal['\x4']", "'", "names no character"),
    (r"a -> b: Literal['\0']", "'", "NUL"),
    ("a -> b: Literal[1e999]", "1e999", "too large"),
    ("a -> b: Literal[0123]", "0123", "not a number"),
    ("a -> b: Callable[[int], str]", "Callable", "no type of data"),
    ("a -> b: ClassVar", "ClassVar", "no type of data"),
    ("a -> b: list[Annotated[int, 'x']]", "int", "outermost"),
    ("a -> b: Annotated[int, 5]", "5", "one quoted text"),
    ("a -> b: Annotated[int, 'x'] 'y'", "'y'", "describes the field already"),
    ("a -> b: dspy.Code[python]", "python", "in quotes"),
    ("a -> b: strng", "strng", "did you mean `str`?"),
    ("a -> b: integer", "integer", "did you mean `int`?"),
    ("a -> b: list[Image]", "Image", "did you mean `dspy.Image`?"),
    ("a -> b: dspy.Predict", "dspy.Predict", "Unknown type"),
    ("a -> b: bytearray", "bytearray", "Unknown type"),
    ("a -> b: os.system", "os.system", "never imported"),
    ("a -> b: datetime.", "", "Expected a name"),
]


@pytest.mark.parametrize(("text", "pointed_at", "part"), REFUSED)
def test_a_bad_text_is_refused_where_it_is_wrong(text: str, pointed_at: str, part: str) -> None:
    with pytest.raises(SignatureError) as caught:
        parse(text)
    assert part in caught.value.message
    assert text[caught.value.position :].startswith(pointed_at)
    assert caught.value.position <= caught.value.end <= len(text)
    assert bool(pointed_at) or caught.value.position == len(text)


def test_an_error_shows_the_line_and_a_caret_under_the_character() -> None:
    with pytest.raises(SignatureError) as caught:
        parse("a,\nb: strng,\nc -> d")
    assert str(caught.value).splitlines()[1:] == ["b: strng,", "   ^^^^^"]
    assert (caught.value.code, caught.value.position, caught.value.end) == ("signature", 6, 11)


def test_an_error_in_a_long_line_shows_what_is_around_it() -> None:
    with pytest.raises(SignatureError) as caught:
        parse("a" * 500 + " ! -> b")
    _, line, carets = str(caught.value).splitlines()
    assert len(line) <= 100
    assert line[carets.index("^")] == "!"


def test_an_error_holds_no_control_characters() -> None:
    with pytest.raises(SignatureError) as caught:
        parse("a -> \x1b[31mb")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a -> b: " + "list[" * 50_000,
        "a -> b: " + "(" * 5_000,
        "a -> b: " + "list[" * 30 + "int" + "]" * 30,
        "a" * 100_000,
        "'" * 15_000,
        "a -> b: Literal['" + "\\" * 15_000,
        "é" * 15_000 + "!",
        "-" * 15_000,
        "a -> b: Literal[" + "9" * 15_000 + "]",
    ],
)
def test_an_attack_ends_in_an_error(text: str) -> None:
    with pytest.raises(SignatureError):
        parse(text)


def test_twenty_levels_and_twenty_thousand_characters_are_allowed() -> None:
    assert parse("a -> b: " + "list[" * 20 + "int" + "]" * 20)
    assert parse("a" * 9_999 + "->" + "b" * 9_999)


def test_a_module_that_a_text_names_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "imported"
    (tmp_path / "leaves_a_mark.py").write_text(f"open({str(marker)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    for text in ("a -> b: leaves_a_mark.Thing", "a -> b: list[leaves_a_mark]"):
        with pytest.raises(SignatureError, match="never imported"):
            parse(text)
    assert not marker.exists()


@given(st.text(st.sampled_from("ab_, :->[]()|.=*'\"\\0\n#é\0") | st.characters(), max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_reads_or_raises_a_signature_error_and_imports_nothing(text: str) -> None:
    before = set(sys.modules)
    error = None
    try:
        signature = parse(text)
    except SignatureError as caught:
        error = caught
    assert not {name for name in set(sys.modules) - before if not name.startswith("hypothesis")}
    if error is None:
        assert parse(signature.text).text == signature.text
    else:
        assert 0 <= error.position <= error.end <= len(text)
        assert all(char.isprintable() for char in str(error).replace("\n", ""))


TYPE_TEXTS = st.recursive(
    st.sampled_from(
        ["str", "int", "Any", "dspy.Image", "NoneType", "Literal['a', \"b'\", 3]", "UUID"]
    ),
    lambda inner: st.one_of(
        inner.map("list[{}]".format),
        inner.map("Optional[{}]".format),
        inner.map("tuple[{}, ...]".format),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: f"Union[{', '.join(some)}]"),
        st.tuples(inner, inner).map(" | ".join),
        inner.map("Dict[str, {}]".format),
    ),
    max_leaves=5,
)
NAMES = st.lists(st.from_regex(r"x[a-z]{0,2}[0-9]?", fullmatch=True), unique=True, max_size=4)


@given(NAMES, NAMES, st.data())
@settings(max_examples=50, deadline=None)
def test_the_canonical_text_reads_back_to_an_equal_signature(
    inputs: list[str], outputs: list[str], data: st.DataObject
) -> None:
    def field(name: str) -> str:
        return name + data.draw(st.just("") | TYPE_TEXTS.map(": {}".format), label=name)

    sides = [inputs, [f"{name}_out" for name in outputs]]
    signature = parse(" -> ".join(", ".join(map(field, side)) for side in sides))
    again = parse(signature.text)
    assert again == signature
    assert (hash(again), again.hash) == (hash(signature), signature.hash)
