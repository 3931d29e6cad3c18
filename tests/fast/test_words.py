"""What is offered while code is typed is what there is: each word is tried."""

import pytest

from pipelines.graph import sandbox
from pipelines.graph import signature as signatures
from pipelines.graph.kinds.kind import expression_variables
from pipelines.graph.sandbox import SandboxError
from pipelines.graph.template_filters import MAKERS
from pipelines.graph.types import FORMS
from pipelines.graph.words import TypeWord, words

UNKNOWN = "is unknown"


def is_known(template: str) -> bool:
    try:
        sandbox.render(template, {"text": "a"})
    except SandboxError as error:
        return UNKNOWN not in str(error)
    return True


def test_a_name_that_is_not_there_is_known_to_be_unknown() -> None:
    for template in ("{{ text|nothing }}", "{{ text is nothing }}", "{{ nothing() }}"):
        assert not is_known(template)


def test_every_filter_and_test_is_there() -> None:
    found = words()
    assert [name for name in found.filters if not is_known(f"{{{{ text|{name} }}}}")] == []
    assert [name for name in found.tests if not is_known(f"{{{{ text is {name} }}}}")] == []


def test_what_was_taken_out_of_the_sandbox_is_not_offered() -> None:
    found = words()
    assert not {"attr", "format", "safe", "pprint", "_watched"} & {*found.filters}
    assert set(MAKERS) <= {*found.filters}
    assert found.functions == ("range",)  # what else is global would be an input


def test_every_statement_can_be_used() -> None:
    assert {"if", "for", "set", "with", "raw"} <= {*words().statements}
    assert "macro" not in words().statements


@pytest.mark.parametrize("word", words().types, ids=lambda word: word.name)
def test_every_type_is_one_of_a_signature(word: TypeWord) -> None:
    name, takes = word.name, word.takes
    inside = takes.replace("key", "str").replace("type", "str").replace("value", "int")
    text = f"a -> b: {name}[{inside.replace(', …', ', str')}]" if takes else f"a -> b: {name}"
    assert list(signatures.parse(text).outputs) == ["b"]


def test_a_type_is_offered_once_and_every_form_is() -> None:
    names = [word.name for word in words().types]
    assert len(names) == len(set(names))
    assert set(FORMS) <= {*names}
    assert "List" not in names
    assert "typing.Any" not in names


CASES = [
    ("{{ a | nofilter }}", "nofilter"),
    ("é {% for x in [1] %}{{ x | nof }}{% endfor %}", "nof"),
    ("{% for x in [1] %}{% for y in [2] %}{{ y | nof }}{% endfor %}{% endfor %}", "nof"),
    ("{{ a + }}", "}}"),
    ("{% macro f() %}", "macro f()"),
    ("one\n{{ a", "{{"),
    ("{{ a $ b }}", "$"),
]


@pytest.mark.parametrize(("template", "wrong"), CASES)
def test_an_error_of_a_template_knows_its_place(template: str, wrong: str) -> None:
    with pytest.raises(SandboxError) as caught:
        sandbox.render(template, {"a": 1})
    assert template[caught.value.start : caught.value.end] == wrong


@pytest.mark.parametrize(("text", "wrong"), [("score >", ""), ("a b", "b"), ("$", "$")])
def test_an_error_of_an_expression_knows_its_place(text: str, wrong: str) -> None:
    with pytest.raises(SandboxError) as caught:
        expression_variables(text)
    start, end = caught.value.start, caught.value.end
    assert start is not None
    assert text[start:end] == wrong
    assert 0 <= start <= len(text)
