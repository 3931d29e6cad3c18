"""Our reading of signatures beside DSPy's own: the same texts accepted, with the same names, order,
types, instructions and labels. What differs on purpose is in tables here and in the docs."""

import re
import types
import typing
import warnings
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.signatures.signature import infer_prefix as dspy_prefix
from dspy.utils.constants import IS_TYPE_UNDEFINED
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph.field import infer_prefix
from pipelines.graph.known_types import DSPY_TYPES
from pipelines.graph.signature import Signature, SignatureError, parse, resolve

CLASSES = {name: getattr(dspy, name.removeprefix("dspy.")) for name in DSPY_TYPES}


def read_by_dspy(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that shadow an attribute; escapes in literals
        # No custom types, so that DSPy doesn't look for type names in this file's globals.
        return dspy.Signature(text, custom_types={})


def shape(annotation: Any) -> Any:
    """An annotation without what typing leaves open: List or list, and the order of Union and Literal
    (its cache gives the second of two equal ones the order of the first)."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        # DSPy makes a new class for each dspy.Code['sql'], so two equal ones are two members there.
        members = frozenset(map(shape, arguments))
        return members if len(members) > 1 else next(iter(members))
    if origin is typing.Literal:
        return ("Literal", frozenset((type(value), value) for value in arguments))
    if isinstance(annotation, type) and issubclass(annotation, dspy.Code):
        # DSPy's string form hands the language over as a tuple: Code_('python',).
        return ("Code", re.sub(r"\W", "", str(annotation.language)))
    if origin:
        return (origin, tuple(map(shape, arguments)))
    return types.NoneType if annotation is None else annotation


def ours(signature: Signature) -> list[tuple[str, Any, bool]]:
    fields = [*signature.inputs.values(), *signature.outputs.values()]
    return [
        (field.name, shape(resolve(field.type, CLASSES)), field.accepts_any) for field in fields
    ]


def theirs(signature: Any) -> list[tuple[str, Any, bool]]:
    return [
        (name, shape(field.annotation), bool(field.json_schema_extra.get(IS_TYPE_UNDEFINED)))
        for name, field in signature.fields.items()
    ]


def assert_same(text: str) -> None:
    our, their = parse(text), read_by_dspy(text)
    assert list(our.inputs) == list(their.input_fields)
    assert list(our.outputs) == list(their.output_fields)
    assert ours(our) == theirs(their)
    assert our.instructions == their.instructions
    # The canonical text means the same to DSPy as what the user wrote.
    assert ours(our) == theirs(read_by_dspy(dspy_form(our.text)))


MODULES = {"datetime": "datetime", "date": "datetime", "Decimal": "decimal", "UUID": "uuid"}


def dspy_form(canonical: str) -> str:
    """DSPy knows the four types of the standard library only under their modules' names."""
    return re.sub(
        rf"\b({'|'.join(MODULES)})\b", lambda found: f"{MODULES[found[0]]}.{found[0]}", canonical
    )


SAME = [
    "question -> answer",
    "->",
    "a ->",
    "-> a",
    "a, b, -> c,",
    "a\n->\n\tb",
    "a\\\n -> b",
    "a # text\n -> b",
    "match, case, type -> self, copy",
    "ﬁ, é, 問題 -> ª",
    "a: str, b: int, c: float, d: bool, e: complex, f: bytes -> g: Any, h: Text",
    "a: list, b: dict, c: tuple, d: set, e: frozenset -> f: NoneType, g: None",
    "a: datetime.datetime, b: datetime.date -> c: decimal.Decimal, d: uuid.UUID",
    "a: List[int], b: Dict[str, int], c: Set[int] -> d: FrozenSet[int], e: Tuple[int, str]",
    "a: Sequence[int], b: MutableSequence[int], c: Iterable[int] -> d: AbstractSet[int]",
    "a: MutableSet[int], b: Mapping[str, int] -> c: MutableMapping[str, int], d: Deque[int]",
    "a: OrderedDict[str, int], b: DefaultDict[str, int] -> c: defaultdict[str, int], d: Counter[str]",
    "a -> b: tuple[int, ...], c: list[int,], d: typing.List[typing.Any]",
    "a -> b: int | None, c: None | int, d: None | None, e: int | str | None",
    "a -> b: Union[int], c: Union[int, str, int], d: Optional[None], e: Optional[Union[int, str]]",
    "a -> b: Literal['a, b', \"it's\", 'a' 'b'], c: Literal[1, True, 1.5, None, 0x10, 1_000]",
    r"a -> b: Literal['\x41\n\u00e9\'\N{DIGIT ONE}\101', r'\n', u'x', '''y''']",
    "a -> b: (int), c: (int | str) | None, d: list[(int)]",
    "a -> b: Annotated[int, 'text']",
    "a: dspy.Image, b: dspy.Audio, c: dspy.File, d: dspy.History -> e: dspy.Code['python']",
    "a: list[dspy.Tool], b: dspy.Code -> c: dspy.ToolCalls | None, d: dspy.Reasoning",
]


@pytest.mark.parametrize("text", SAME)
def test_a_text_means_what_it_means_to_dspy(text: str) -> None:
    assert_same(text)


REFUSED_BY_BOTH = [
    *(
        "",
        "a",
        "a -> b -> c",
        ", a -> b",
        "a,, b -> c",
        "a b -> c",
        "a; b -> c",
        "1a -> b",
        "a.b -> c",
    ),
    *("class -> b", "None -> b", "_a -> b", "__doc__ -> b", "a -> a", "a\0 -> b", "a\xa0-> b"),
    *(
        "fields -> b",
        "instructions -> b",
        "signature -> b",
        "input_fields -> b",
        "a -> output_fields",
    ),
    *("model_config -> b", "model_dump -> b", "model_validate -> b", "a: -> b", "a -> b: list[str"),
    *(
        "a -> b: (int",
        "a -> b: ]",
        "a -> b: 'int'",
        "a -> b: 5",
        "a -> b: ...",
        "a -> b: (int, str)",
    ),
    *(
        "a -> b: list[...]",
        "a -> b: list['a']",
        "a -> b: int[str]",
        "a -> b: dict[str]",
        "a -> b: List",
    ),
    *(
        "a -> b: Dict",
        "a -> b: Optional",
        "a -> b: Literal",
        "a -> b: Callable",
        "a -> b: bytearray",
    ),
    *("a -> b: object", "a -> b: Image", "a -> b: list[int][str]", "a -> b: Optional[int, str]"),
    *("a -> b: int or str", "a -> b: lambda: 3", "a -> b: strng", "a -> b: no_such_module.Thing"),
    *(
        r"a -> b: Literal['\ud800']",
        "a -> b: Literal[f'x']",
        "a -> b: tuple[*tuple[int]]",
        "a -> b: Callable[[int], str]",
    ),
]


@pytest.mark.parametrize("text", REFUSED_BY_BOTH)
def test_a_text_that_dspy_refuses_is_refused(text: str) -> None:
    with pytest.raises(SignatureError):
        parse(text)
    with pytest.raises(Exception):  # noqa: B017 - it raises nine kinds of them
        read_by_dspy(text)


REFUSED_ON_PURPOSE = [
    *("a, a -> b", "a = 5 -> b", "*a -> b", "**a -> b", "a, /, b -> c", "a, *, b -> c"),
    "a): pass\ndef g(x -> b",
    *(
        "a -> b: Callable[..., str]",
        "a -> b: Type[int]",
        "a -> b: Generator[int]",
        "a -> b: Pattern[str]",
    ),
    *("a -> b: Self", "a -> b: Final", "a -> b: ClassVar"),
    *(
        "a -> b: pathlib.Path",
        "a -> b: enum.Enum",
        "a -> b: builtins.int",
        "a -> b: pydantic.BaseModel",
    ),
    *(
        "a -> b: datetime.time",
        "a -> b: datetime.timedelta",
        "a -> b: collections.abc.Sequence[int]",
    ),
    *(
        "a -> b: list[int, str]",
        "a -> b: dict[str, int, int]",
        "a -> b: tuple[()]",
        "a -> b: list[(int, str)]",
    ),
    *("a -> b: Literal[int]", "a -> b: Literal[Literal['a']]", "a -> b: Literal[...]"),
    *(
        "a -> b: Literal[b'x']",
        "a -> b: Literal[1j]",
        r"a -> b: Literal['\0']",
    ),
    *("a -> b: Annotated[int, 5]", "a -> b: list[Annotated[int, 'x']]", "𝐜lass -> b"),
]


@pytest.mark.parametrize("text", REFUSED_ON_PURPOSE)
def test_what_dspy_drops_or_guesses_is_refused_on_purpose(text: str) -> None:
    read_by_dspy(text)
    with pytest.raises(SignatureError):
        parse(text)


def documented(heading: str) -> list[str]:
    """The texts in the first column of the table under a heading of the reference."""
    page = (Path(__file__).parents[2] / "docs/reference/signatures.md").read_text()
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)


@pytest.mark.parametrize("text", documented("Refused on purpose"))
def test_what_the_docs_call_refused_is_refused_by_us_alone(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert dspy.Signature(text)
    with pytest.raises(SignatureError):
        parse(text)


@pytest.mark.parametrize("text", documented("More than DSPy"))
def test_what_the_docs_call_more_is_read_by_us_alone(text: str) -> None:
    assert parse(text)
    if "Annotated" not in text:
        with pytest.raises(Exception):  # noqa: B017
            read_by_dspy(text)


PLAIN = st.sampled_from(
    ["str", "int", "float", "bool", "list", "dict", "Any", "None", "NoneType", "Text"]
)
DSPY = st.sampled_from([*CLASSES, "dspy.Code['sql']", "uuid.UUID", "datetime.date"])
CONSTANTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
    .filter(lambda text: "->" not in text)
    .map(repr),
    st.integers(min_value=0, max_value=10**20).map(str),
    st.floats(min_value=0, allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["True", "False", "None", "0b101", "1_0", "'a' \"b\""]),
)
LITERALS = st.lists(CONSTANTS, min_size=1, max_size=3).map(
    lambda values: f"Literal[{', '.join(values)}]"
)
ONE = st.sampled_from(
    ["list", "List", "Optional", "Sequence", "Set", "Union", "tuple", "typing.Iterable"]
)
TWO = st.sampled_from(["dict", "Dict", "Mapping", "Union", "Tuple", "typing.Union", "OrderedDict"])
TYPES = st.recursive(
    PLAIN | DSPY | LITERALS,
    lambda inner: st.one_of(
        st.builds("{}[{}]".format, ONE, inner),
        st.builds("{}[{}, {}]".format, TWO, inner, inner),
        st.builds("{} | {}".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("tuple[{}, ...]".format, inner),
    ),
    max_leaves=5,
)
NAME = st.text(st.characters(categories=["Ll", "Lu", "Lo", "Nd"]), min_size=1, max_size=6).filter(
    str.isidentifier
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    names = draw(st.lists(NAME, max_size=5, unique=True))
    space = st.sampled_from(["", " ", "\n", "  "])
    fields = [
        name + draw(st.just("") | TYPES.map(lambda type_: f":{draw(space)}{type_}{draw(space)}"))
        for name in names
    ]
    cut = draw(st.integers(0, len(fields)))
    return f"{draw(space)}{', '.join(fields[:cut])} -> {','.join(fields[cut:])}{draw(space)}"


@given(texts())
@settings(max_examples=120, deadline=None)
def test_any_text_of_the_grammar_means_what_it_means_to_dspy(text: str) -> None:
    try:
        read_by_dspy(text)
    except Exception:
        with pytest.raises(SignatureError):
            parse(text)
        return
    assert_same(text)


@given(
    st.text(st.characters(categories=["Ll", "Lu", "Lo", "Nd", "Pc"]), max_size=15)
    | st.from_regex("[A-Za-z0-9_]+")
)
@settings(max_examples=300, deadline=None)
def test_a_label_is_the_one_of_dspy(name: str) -> None:
    assert infer_prefix(name) == dspy_prefix(name)


@pytest.mark.parametrize("text", ["q -> a", "q -> a, reasoning: int", "q -> reasoning, a"])
def test_a_chain_of_thought_asks_for_the_same_fields(text: str) -> None:
    theirs_ = dspy.ChainOfThought(read_by_dspy(text)).predict.signature
    extended = parse(text).prepend_output("reasoning", "str", "${reasoning}")
    assert list(extended.outputs) == list(theirs_.output_fields)
    assert ours(extended) == theirs(theirs_)
    assert extended.instructions == theirs_.instructions


@pytest.mark.parametrize(
    "text", ["Be brief.", "\n  Do:\n    this", "\n    a\n  b", "a\n- b\n  - c\n"]
)
def test_instructions_reach_a_prompt_of_dspy_as_they_are(text: str) -> None:
    ours_ = parse("a -> b", instructions=text).instructions
    assert (
        dspy.Signature("a -> b", ours_)
        .with_instructions(ours_)
        .append("c", dspy.InputField())
        .instructions
        == ours_
    )


def test_every_name_that_dspy_refuses_is_refused() -> None:
    names = {
        name
        for name in {*dir(dspy.Signature), *dir(type(dspy.Signature))}
        if not name.startswith("_")
    }
    for name in sorted(names):
        try:
            read_by_dspy(f"{name} -> other")
        except Exception:
            with pytest.raises(SignatureError):
                parse(f"{name} -> other")
        else:
            assert parse(f"{name} -> other")
