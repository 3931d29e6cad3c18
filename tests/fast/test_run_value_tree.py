"""JSON drawn for people: nothing in it becomes markup, and nothing endless is drawn whole."""

import re
from typing import Any

import pytest

from runner.bridge.payloads import UNSERIALISABLE
from runner.views.value_tree import DEEPEST, MOST, tree
from runner.views.values import SHOWN, counted, shown

LONG = "a long text " * 10


def text_of(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


@pytest.mark.parametrize(
    ("value", "drawn"),
    [
        (["a", 1, None], "[&quot;a&quot;, 1, null]"),
        ({"a": True}, "{a: true}"),
        (1.5, "1.5"),
        ([], "[]"),
    ],
)
def test_what_is_short_stays_in_one_line(value: Any, drawn: str) -> None:
    assert text_of(tree(value, SHOWN)) == drawn


def test_what_could_not_cross_is_a_chip_that_says_its_type() -> None:
    html = tree({"reasoning": LONG, "model": {UNSERIALISABLE: "torch.<b>Tensor"}}, SHOWN)
    assert '<span class="chip">Not serialisable: torch.&lt;b&gt;Tensor</span>' in html
    assert UNSERIALISABLE not in html
    assert "chip" not in tree({"both": {UNSERIALISABLE: "x", "more": LONG}}, SHOWN)


@pytest.mark.parametrize("place", ["key", "text", "title"])
def test_markup_is_text_wherever_it_stands(place: str) -> None:
    evil = "<img src=x onerror=alert(1)>"
    values = {
        "key": {evil: LONG},
        "text": {"a": evil + LONG},
        "title": [{"text": LONG, "title": evil}],
    }
    html = tree(values[place], SHOWN)
    assert "<img" not in html
    assert "&lt;img" in html


def test_what_is_inside_folds_and_says_how_much_there_is() -> None:
    html = tree({"outer": {"list": [LONG, LONG], "b": 1}}, SHOWN)
    assert "<summary><b>outer</b> <span>2 keys</span></summary>" in html
    assert "<summary><b>list</b> <span>2 items</span></summary>" in html


def test_passages_are_a_list_with_titles() -> None:
    passages = [{"text": LONG, "title": "Rain", "score": 2.5}, {"text": LONG, "pid": 7}]
    html = tree({"passages": passages}, SHOWN)
    assert '<ol class="passages">' in html
    assert "<strong>Rain</strong>" in html
    assert "2.500" in html


def test_no_more_is_drawn_than_asked_for() -> None:
    html = tree({"many": [LONG] * 5_000}, 2_000)
    assert len(html) < 10_000
    assert "more</span>" in html


def test_many_small_things_are_bounded_too() -> None:
    html = tree(list(range(10_000)), SHOWN)
    assert f"{10_000 - MOST} more" in html


def test_what_is_deep_ends() -> None:
    value: Any = LONG
    for _ in range(DEEPEST + 20):
        value = {"a": value, "b": LONG}
    assert "Deeper than is drawn" in tree(value, 1_000_000)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("abc", "3 characters"),
        ("a", "1 character"),
        ([1], "1 item"),
        ([{"text": "a"}] * 2, "2 passages"),
        ({}, "0 keys"),
        (None, "none"),
        (3.5, "3.5"),
        (True, "true"),
    ],
)
def test_a_value_is_counted_in_its_own_words(value: Any, said: str) -> None:
    assert counted(value) == said


def test_a_long_text_is_folded_and_a_very_long_one_cut() -> None:
    assert not shown("a", "one line").folded
    assert shown("a", "line\n" * 20).folded
    cut = shown("a", "x" * (SHOWN + 1))
    assert (cut.cut, len(cut.text), cut.folded) == (True, SHOWN, True)
