"""Expressions and templates: what they may do, and what a stranger's may not."""

from typing import Any

import pytest
from jinja2.exceptions import TemplateError

from understudy.evaluate.benchmarks.templates import LONGEST, expression, template

ROW = {"a": " x ", "n": {"b": [1, 0, 1]}, "words": ["one", "two"]}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("n.b", [1, 0, 1]),
        ("n['b'][1:]", [0, 1]),
        ("[a.strip(), words | first]", ["x", "one"]),
        ("words | map('upper') | list", ["ONE", "TWO"]),
        ("words | reject('equalto', 'one') | list", ["two"]),
        ("n.b | positions", [0, 2]),
        ("words.index('two')", 1),
        ("'yes' if n.b[0] > 0 and not n.b[1] else 'no'", "yes"),
        ("a ~ '-' ~ n.b[0]", " x -1"),
        ("a | replace(' ', '')", "x"),
        ("words | lettered", "A. one\nB. two"),
    ],
)
def test_expressions(source: str, expected: Any) -> None:
    assert expression(source)(ROW) == expected


def test_a_template_keeps_its_last_line_break() -> None:
    assert template("{{a}}{% if words %}!{% endif %}\n")(ROW) == " x !\n"


FORBIDDEN = [
    "a.__class__",
    "a['__class__']",
    "words | map(attribute='__class__') | list | first",
    "a.format(1)",
    "'{:9999999999}'.format(1)",
    "a.ljust(9)",
    "'%9999999999d' % 1",
    "a * 9999999999",
    "9 ** 9 ** 9",
    "range(9)",
    "lipsum()",
    "a | center(9999999999)",
    "a | attr('upper')",
    "a | string | xmlattr",
    "self.__init__",
    "a }}{% set b = 1 %}{{ a",
]


@pytest.mark.parametrize("source", FORBIDDEN)
def test_what_an_expression_may_not(source: str) -> None:
    with pytest.raises(TemplateError):
        str(expression(source)(ROW))
    with pytest.raises(TemplateError):
        template("{{" + source + "}}")(ROW)


@pytest.mark.parametrize(
    "source",
    [
        "{% for w in words %}{{w}}{% endfor %}",
        "{% set a = a ~ a %}",
        "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as x %}",
        "{% with a = a %}{% endwith %}",
        "{% block b %}{% endblock %}",
        "{{nope}}",
        "{{n.nope}}",
    ],
)
def test_what_a_template_may_not(source: str) -> None:
    with pytest.raises(TemplateError):
        template(source)(ROW)


def test_what_is_made_is_bounded() -> None:
    long = {"a": "x" * (LONGEST // 2 + 1), "many": ["x"] * 27}
    with pytest.raises(TemplateError, match="replace makes more"):
        expression("a | replace('x', a)")(long)
    with pytest.raises(TemplateError, match="makes more than"):
        template("{{a}}{{a}}")(long)
    with pytest.raises(TemplateError, match="27 options, there are 26 letters"):
        expression("many | lettered")(long)
