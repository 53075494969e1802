"""Expressions and templates of benchmark declarations.

The language is Jinja with the settings of lm-evaluation-harness: a name that is not there is an
error, and a newline at the end stays. A declaration may come from a stranger, so that it is held to
what reads a row and lays out a prompt: no statement but `if`, no operator, method or filter by
which a few characters could ask for much time or memory, and nothing of Python's.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, Undefined, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from understudy.evaluate.benchmarks.kinds import LETTERS

LONGEST = 1_000_000  # characters, of whatever a template or filter makes

PARTS = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.CondExpr),
    *(nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.Getattr, nodes.Getitem, nodes.Slice),
    *(nodes.Call, nodes.Keyword, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Add, nodes.Sub, nodes.Concat),
)
METHODS = (
    *("strip", "lstrip", "rstrip", "removeprefix", "removesuffix", "split", "splitlines"),
    *("lower", "upper", "capitalize", "startswith", "endswith", "index", "get", "values", "keys"),
)
FILTERS = (
    *("trim", "lower", "upper", "capitalize", "list", "first", "last", "length"),
    *("map", "select", "reject"),
)


def replace(text: str, old: str, new: str) -> str:
    """`text` with `new` for every `old`."""
    if len(text) + text.count(old) * len(new) > LONGEST:
        raise SecurityError(f"replace makes more than {LONGEST} characters")
    return text.replace(old, new)


def lettered(options: Iterable[str]) -> str:
    """A line for each option, behind its letter: `A. one`, `B. other`."""
    options = list(options)
    if len(options) > len(LETTERS):
        raise SecurityError(f"{len(options)} options, there are {len(LETTERS)} letters")
    return "\n".join(
        f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)
    )


def positions(marks: Iterable[Any]) -> list[int]:
    """The places, from 0, of the marks that are true."""
    return [place for place, mark in enumerate(marks) if mark]


def unbracketed(text: str) -> str:
    """Text of HellaSwag without what WikiHow's pages left in it, as the harness cleans it."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


class _Environment(SandboxedEnvironment):
    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True)
        self.globals.clear()
        kept = {name: self.filters[name] for name in FILTERS}
        self.filters = kept | {f.__name__: f for f in (replace, lettered, positions, unbracketed)}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr in METHODS

    def wrap_str_format(self, value: Any) -> None:
        """Jinja has a `format` of its own for texts; ours have none."""


_ENVIRONMENT = _Environment()


@cache
def expression(source: str) -> Callable[[Mapping[str, Any]], Any]:
    """What `source` says of a row's columns.

    Raises:
        TemplateError: it is not an expression, or not an allowed one; when called, it says nothing
            of this row. Other exceptions are the values' own.
    """
    _check("{{" + source + "}}")
    compiled = _ENVIRONMENT.compile_expression(source, undefined_to_none=False)

    def evaluate(values: Mapping[str, Any]) -> Any:
        value = compiled(values)
        if isinstance(value, Undefined):
            str(value)  # raises what it is that is not there
        return value

    return evaluate


@cache
def template(source: str) -> Callable[[Mapping[str, Any]], str]:
    """The text that `source` makes of an item's fields; raises as `expression`."""
    _check(source)
    compiled = _ENVIRONMENT.from_string(source)

    def render(values: Mapping[str, Any]) -> str:
        text = compiled.render(values)
        if len(text) > LONGEST:
            raise SecurityError(f"makes more than {LONGEST} characters")
        return text

    return render


def _check(source: str) -> None:
    """Refuse what is not allowed; before it is compiled, which computes constants."""
    for node in _ENVIRONMENT.parse(source).find_all(nodes.Node):
        if not isinstance(node, PARTS):
            raise TemplateSyntaxError(f"{type(node).__name__} is not allowed", node.lineno)
