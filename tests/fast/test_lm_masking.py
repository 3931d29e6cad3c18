"""Keys are found by value, also where a stream cuts them."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.lm.masking import MASK, Masker, StreamMasker


def streamed(masker: Masker, deltas: list[str]) -> str:
    stream = StreamMasker(masker)
    return "".join([stream.feed(delta) for delta in deltas] + [stream.finish()])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["abab-key", "abab", "-key", "a", "b", " "])).map("".join),
    st.lists(st.integers(0, 60)),
)
def test_a_stream_is_masked_however_it_is_cut(text: str, marks: list[int]) -> None:
    masker = Masker(["abab-key"])
    edges = sorted({mark % (len(text) + 1) for mark in marks} | {0, len(text)})
    deltas = [text[a:b] for a, b in pairwise(edges)]
    assert streamed(masker, deltas) == masker.text(text) == text.replace("abab-key", MASK)


def test_text_that_is_no_beginning_of_a_key_is_not_held_back() -> None:
    stream = StreamMasker(Masker(["secret"]))
    assert [stream.feed(part) for part in ("tell s", "ome secr", "ety")] == [
        "tell ",
        "some ",
        f"{MASK}y",
    ]


def test_the_longer_of_two_keys_is_masked_whole() -> None:
    assert Masker(["secret", "secret-long"]).text("secret-long") == MASK


def test_keys_are_masked_in_values_and_names() -> None:
    masked = Masker(["secret"]).value({"secret": ["a secret", 1, None, {"x": "secret"}]})
    assert masked == {MASK: [f"a {MASK}", 1, None, {"x": MASK}]}


def test_what_is_too_short_to_be_a_key_garbles_nothing() -> None:
    assert Masker(["", "a"]).text("banana") == "banana"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://x/?k=a%2Fb%2Bc%22d%20e&n=1", "https://x/?k=•••&n=1"),
        ("k=a%2Fb%2Bc%22d+e", "k=•••"),
        ('{"k": "a/b+c\\"d e"}', '{"k": "•••"}'),
    ],
)
def test_keys_are_masked_in_the_forms_that_an_error_quotes(text: str, shown: str) -> None:
    assert Masker(['a/b+c"d e']).text(text) == shown
