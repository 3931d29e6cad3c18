"""Templates and expressions: what they can do, and what nobody can make them do."""

import time
from typing import Any

import pytest

from pipelines.graph.sandbox import SandboxError, evaluate, render, variables

DATA = {"a": 1, "b": ["x", "y"], "rows": [{"n": 2}, {"n": 1}]}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Results: {{ b }}", 'Results: ["x", "y"]'),
        ("{{ b|join(', ') }} {{ a + 1 }} {{ b|length * 100 }}", "x, y 2 200"),
        ("{% for row in rows if row.n > 1 %}{{ loop.index }}:{{ row.n }}{% endfor %}", "1:2"),
        ("{% for row in rows|sort(attribute='n') %}{{ row.n }}{% endfor %}", "12"),
        ("{% for key, value in rows[0]|items -%}  {{ key }}={{ value }}{% endfor %}", "n=2"),
        ("{% set first = b|first %}{{ first|upper }} {{ nothing|default('-') }}", "X -"),
        ("{{ '<b>' }} {# note ' #}{% raw %}{{ a }}{% endraw %}\n", "<b> {{ a }}\n"),
        ("{{ rows|map(attribute='n')|join('+') }} = {{ rows|sum(attribute='n') }}", "2+1 = 3"),
        ("{{ {'é': [1, none, true]}|tojson }}", '{"é": [1, null, true]}'),
        ("{{ none }}{{ 'x' if a > 5 }}|{{ true }}", "|True"),
        ("{{ a|float * rows[0].n|float }}", "2"),
    ],
)
def test_templates_render_plain_data(template: str, text: str) -> None:
    assert render(template, DATA) == text


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a > 0.5 and 'x' in b", True),
        ("rows[0].n", 2),
        ("rows", [{"n": 2}, {"n": 1}]),
        ("[a, {'k': b}]", [1, {"k": ["x", "y"]}]),
        ("rows[0].missing is defined", False),
        ("b|length if a else none", 2),
    ],
)
def test_expressions_give_json(expression: str, value: Any) -> None:
    assert evaluate(expression, DATA) == value


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ a.__class__ }}", "`a.__class__` is undefined"),
        ("{{ ''.__class__.__mro__ }}", "__class__` is undefined"),
        ("{{ b._items }}", "undefined"),
        ("{{ b.append(1) }}", "no 'append'"),
        ("{{ rows[0].clear() }}", "no 'clear'"),
        ("{{ rows[0].update(rows[1]) }}", "no 'update'"),
        ("{% for x in [[1]] %}{{ x.extend(x) }}{% endfor %}", "no 'extend'"),
        ("{{ b.__init__.__globals__ }}", "undefined"),
        ("{{ rows[0].items }}", "not a value"),
        ("{{ namespace(x=1) }}", "Namespace is unknown"),
        ("{{ debug() }}", "Debug is unknown"),
        ("{% include 'secrets' %}", "'include' is not available"),
        ("{% import 'os' as os %}", "'import' is not available"),
        ("{% extends 'x' %}", "'extends' is not available"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "'macro' is not available"),
        ("{% for x in b recursive %}{{ loop(b) }}{% endfor %}", "recursive"),
        ("{{ '%s'|format(a) }}", "Filter format is unknown"),
        ("{{ b|attr('append') }}", "Filter attr is unknown"),
        ("{{ b|map('attr', 'append')|list }}", "Unknown filter"),
        ("{{ a.b }", "never closed"),
        ("one\n{{ missing }}", "`missing` is undefined. (line 2)"),
        ("one\n{% for %}{% endfor %}", "for name in list"),
        ("{{ a ; b }}", "';' is not understood"),
    ],
)
def test_what_is_not_there_is_a_clear_error(template: str, message: str) -> None:
    with pytest.raises(SandboxError) as raised:
        render(template, DATA)
    assert message in str(raised.value)
    assert DATA["b"] == ["x", "y"]


BOMBS = {
    "text doubled": "{% set s = 'aaaaaaaaaa' %}" + "{% set s = s ~ s %}" * 40,
    "list doubled": "{% set s = [1] %}" + "{% set s = s + s %}" * 40,
    "list in list": "{% set s = [1] %}" + "{% set s = [s, s] %}" * 40 + "{{ s }}",
    "dict in dict": "{% set s = 'ab' %}" + "{% set s = {'a': s, 'b': s} %}" * 40 + "{{ s }}",
    "nested for": "{% for s in [s0 ~ s0] %}" * 40 + "{% endfor %}" * 40,
    "capture": "{% set s %}{{ s0 }}{{ s0 }}{% endset %}" * 40,
    "multiplied text": "{{ 'a' * 1000000000 }}",
    "multiplied list": "{{ [1] * 100000000 }}",
    "multiplied variable": "{{ s0 * n }}",
    "multiplied by a float of text": "{{ s0 * n|float * s0 }}",
    "replace": "{{ big|replace('a', big)|length }}",
    "replace empty": "{{ big|replace('', big)|length }}",
    "join": "{{ big|list|join(big)|length }}",
    "join by map": "{{ [big]|map('replace', 'a', big)|list|length }}",
    "indent": "{{ 'x'|indent(1000000000) }}",
    "tojson again": "{{ quotes" + "|tojson" * 40 + " }}",
    "huge range": "{{ range(1000000000)|list }}",
    "many ranges": "{{ [" + "range(9999)|list," * 200 + "]|length }}",
    "long text in a loop": "{% for i in range(9999) %}" + "b" * 40_000 + "{% endfor %}",
    "endless": "{% for i in range(9999) %}{% for j in b3 %}{% for k in b3 %}"
    "{% if k %}{% endif %}{% endfor %}{% endfor %}{% endfor %}",
    "plus chain": "{{ 1" + " + 1" * 5_000 + " }}",
    "filter chain": "{{ s0" + "|upper" * 5_000 + " }}",
    "unary chain": "{{ " + "-" * 5_000 + "1 }}",
    "elif chain": "{% if n %}" + "{% elif n %}" * 500 + "{% endif %}",
    "deep brackets": "{{ " + "(" * 400 + "1" + ")" * 400 + " }}",
    "deep ifs": "{% if n %}" * 300 + "{% endif %}" * 300,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_in_an_error_soon(name: str) -> None:
    values = {"s0": "ab", "n": 10**9, "big": "ab" * 5_000, "quotes": '"\\"', "b3": [1] * 30}
    started = time.perf_counter()
    with pytest.raises(SandboxError):
        render(BOMBS[name], values)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "value",
    [object(), float("nan"), float("inf"), {1: 2}, (1, 2), {"a": {1, 2}}, b"x", "half \ud800"],
)
def test_only_json_comes_in(value: Any) -> None:
    with pytest.raises(SandboxError):
        render("{{ value }}", {"value": value})


def test_a_text_with_a_lone_surrogate_can_not_bring_format_along() -> None:
    with pytest.raises(SandboxError, match="surrogate"):
        render("{{ s.format(a) }}", {"s": "{0.__class__}\ud800", "a": 1})


def test_dicts_that_look_like_envelopes_stay_dicts() -> None:
    envelope = {"__type__": "os.system", "py/object": "x", "$ref": "#", "lc": 2, "__html__": "y"}
    assert evaluate("value", {"value": envelope}) == envelope
    assert render("{{ value['py/object'] }}", {"value": envelope}) == "x"


def test_deep_values_are_refused() -> None:
    value: Any = 1
    for _ in range(200):
        value = [value]
    with pytest.raises(SandboxError, match="deep"):
        render("{{ value }}", {"value": value})


@pytest.mark.parametrize("text", ["a }} {{ b", "a %} {% if b", "{{ a }}", "", "a # b }}"])
def test_an_expression_is_one_expression(text: str) -> None:
    with pytest.raises(SandboxError):
        evaluate(text, DATA)


def test_a_failed_render_leaves_the_next_one_alone() -> None:
    template = "{% for i in items %}{{ i.n }}{% endfor %}"
    with pytest.raises(SandboxError):
        render(template, {"items": [{"n": 1}, {}]})
    assert render(template, {"items": [{"n": 1}, {"n": 2}]}) == "12"


def test_variables_are_listed_in_order_without_what_is_built_in() -> None:
    template = (
        "{{ b }}{% for i in range(a) %}{{ loop.index }}{{ i }}{{ c.d|tojson }}{% endfor %}{{ b }}"
    )
    assert variables(template) == ("b", "a", "c")
    with pytest.raises(SandboxError):
        variables("{{ 1" + " + 1" * 20_000 + " }}")
