"""The stream splitter: the fields of an answer while it comes, however it is cut."""

import json
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.lm.splitter import StreamSplitter

CHAT = "[[ ## reasoning ## ]]\nIt is [[ 1 ]].\n\n[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]"


def split(*deltas: str) -> dict[str, str]:
    """Field to text, with every offset checked."""
    splitter = StreamSplitter()
    fields: dict[str, str] = {}
    pieces = [piece for delta in deltas for piece in splitter.feed(delta)]
    for field, offset, text in pieces + splitter.finish():
        assert offset == len(fields.get(field, ""))
        assert text
        fields[field] = fields.get(field, "") + text
    return fields


def cut(text: str, marks: list[int]) -> list[str]:
    edges = sorted({mark % (len(text) + 1) for mark in marks} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(edges)]


def test_chat_markers_become_fields_without_the_final_one() -> None:
    assert split(CHAT) == {"reasoning": "It is [[ 1 ]].", "answer": "42"}


def test_a_marker_counts_only_at_the_start_of_a_line() -> None:
    assert split("[[ ## a ## ]]\nsee [[ ## b ## ]] there") == {"a": "see [[ ## b ## ]] there"}


def test_text_beside_a_marker_belongs_to_its_field() -> None:
    assert split("[[ ## a ## ]] one\n  [[ ## b ## ]] two") == {"a": "one", "b": "two"}


def test_text_before_the_first_marker_is_plain() -> None:
    assert split("Sure!\n[[ ## a ## ]]\n1") == {"text": "Sure!", "a": "1"}


def test_a_field_that_comes_again_is_dropped_as_the_parser_drops_it() -> None:
    assert split("[[ ## a ## ]]\n1\n[[ ## a ## ]]\n2") == {"a": "1"}


def test_plain_text_is_stripped_and_kept_whole() -> None:
    assert split("  a [b\n[[ ## \n c ", " \n") == {"text": "a [b\n[[ ## \n c"}


def test_json_strings_are_decoded_and_other_values_raw() -> None:
    text = '```json\n{"a": "q\\"\\u00e9\\n", "n": 12 , "l": [1, "]\\\\\\"", {"x": "}"}], "t": true}\n```'
    fields = split(text)
    assert fields == {"a": 'q"é\n', "n": "12", "l": '[1, "]\\\\\\"", {"x": "}"}]', "t": "true"}


def test_surrogate_pairs_join_and_lone_ones_are_replaced() -> None:
    assert split('{"a": "\\ud83d', '\\ude00", "b": "\\ud83dx"}') == {"a": "😀", "b": "�x"}


@pytest.mark.parametrize("text", ["{x}", "{{ name }}", "`code`", "```python\nx\n```", "[1, 2]"])
def test_what_only_looks_like_json_is_plain(text: str) -> None:
    assert split(*text) == {"text": text}


def test_the_first_characters_come_at_once() -> None:
    splitter = StreamSplitter()
    assert splitter.feed("Hello") == [("text", 0, "Hello")]
    assert splitter.feed(" you") == [("text", 5, " you")]


words = st.text(st.sampled_from('ab{}[]"\\#: \n`é😀,'), max_size=12)
values = st.recursive(
    words | st.integers() | st.booleans() | st.none(), lambda inner: st.lists(inner, max_size=3)
)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(words, values, max_size=4), st.booleans(), st.lists(st.integers(0, 400)))
def test_any_chunking_of_json_gives_the_same(fields: dict, ascii_: bool, marks: list[int]) -> None:
    fields.pop("completed", None)
    text = json.dumps(fields, ensure_ascii=ascii_)
    expected = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=ascii_)
        for name, value in fields.items()
        if value != ""
    }
    assert split(*cut(text, marks)) == expected


chat_text = st.lists(
    st.sampled_from(
        ["[[ ## a ## ]]", "[[ ## b ## ]]", "[[ ", "##", " ]]", "\n", " ", "x", "[", "]"]
    )
).map("".join)


@settings(max_examples=25, deadline=None)
@given(chat_text, st.lists(st.integers(0, 200)))
def test_any_chunking_of_chat_gives_the_same(text: str, marks: list[int]) -> None:
    assert split(*cut(text, marks)) == split(text) == split(*text)


compact_values = st.fixed_dictionaries(
    {"answer": words, "score": st.integers(), "tags": st.lists(words, max_size=3)}
)


@settings(max_examples=25, deadline=None)
@given(compact_values, st.integers(0, 3), st.lists(st.integers(0, 300)))
def test_any_chunking_of_the_compact_format_gives_the_same(
    fields: dict, indent: int, marks: list[int]
) -> None:
    """A schema-bound answer of a small model: JSON, with whatever white space its grammar lets through."""
    text = "\n" * indent + json.dumps(fields, indent=indent or None, ensure_ascii=False)
    whole = split(text)
    assert split(*cut(text, marks)) == split(*text) == whole
    assert whole.get("answer", "") == fields["answer"]
    assert json.loads(whole["tags"]) == fields["tags"]
    assert whole["score"] == str(fields["score"])


field_names = st.lists(st.sampled_from(["a", "reasoning", "x1", "é"]), unique=True, max_size=4)
bodies = st.text(st.sampled_from('ab [#]\n\t{}"é😀:'), max_size=20)


@settings(max_examples=25, deadline=None)
@given(field_names, st.lists(bodies, min_size=4, max_size=4), st.lists(st.integers(0, 400)))
def test_any_chunking_of_what_dspy_writes_gives_the_fields_that_its_parser_reads(
    names: list[str], texts: list[str], marks: list[int]
) -> None:
    fields = dict(zip(names, texts, strict=False))
    text = "".join(f"[[ ## {name} ## ]]\n{body}\n\n" for name, body in fields.items())
    expected = {name: body.strip() for name, body in fields.items() if body.strip()}
    assert split(*cut(text + "[[ ## completed ## ]]\n", marks)) == expected


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=80), st.lists(st.integers(0, 400)))
def test_any_chunking_of_anything_gives_the_same(text: str, marks: list[int]) -> None:
    assert split(*cut(text, marks)) == split(text) == split(*text)


broken_json = st.tuples(st.dictionaries(words, values, max_size=3), st.integers(0, 80)).map(
    lambda part: json.dumps(part[0])[: part[1]]
)


@settings(max_examples=25, deadline=None)
@given(broken_json, st.lists(st.integers(0, 100)))
def test_any_chunking_of_json_that_was_cut_gives_the_same(text: str, marks: list[int]) -> None:
    assert split(*cut(text, marks)) == split(text) == split(*text)


def test_a_chunk_costs_a_few_microseconds() -> None:
    """The goal is 3 µs for a chunk of 4 characters; the limit leaves room for a busy machine."""
    answer = "[[ ## answer ## ]]\n" + "Some words, and more of them.\n" * 200
    deltas = [answer[at : at + 4] for at in range(0, len(answer), 4)]
    splitter = StreamSplitter()
    start = perf_counter()
    for delta in deltas:
        splitter.feed(delta)
    assert (perf_counter() - start) / len(deltas) < 15e-6
