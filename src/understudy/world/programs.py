"""A small grammar of string and number functions, in the layout of HumanEval's prompts.

A program is one or two steps. Its docstring says them in words, its body does them line by line,
so that what is to be learnt is the meaning of each step and how steps are put together.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

LETTERS = "abeimnorst"
ENDINGS = ("ing", "ness", "ful", "less", "ish", "ment")
BEGINNINGS = ("un", "re", "pre", "over", "under", "mis")
COUNTS = (1, 2, 3, 4, 5)
TIMES = (2, 3, 4)
JOINERS = ("-", "+", ".", "_")


@dataclass(frozen=True)
class Operation:
    """A kind of step: how it is named, said, written and done.

    `phrases` and `code` take the step's parameters by position; in `code` the variable is `{x}`.
    """

    name: str
    takes: str
    gives: str
    phrases: tuple[str, ...]
    code: str
    apply: Callable[..., Any]
    parameters: tuple[tuple[Any, ...], ...] = ((),)


def _each(*choices: Any) -> tuple[tuple[Any, ...], ...]:
    return tuple(product(*choices))


_REPLACEMENTS = tuple((old, new) for old, new in product(LETTERS, repeat=2) if old != new)

# fmt: off
OPERATIONS = (
    Operation("upper", "str", "str", ("put the text in upper case", "make all letters capitals"),
              "{x}.upper()", lambda x: x.upper()),
    Operation("lower", "str", "str", ("put the text in lower case", "make all letters small"),
              "{x}.lower()", lambda x: x.lower()),
    Operation("reverse", "str", "str", ("reverse the text", "turn the text around"),
              "{x}[::-1]", lambda x: x[::-1]),
    Operation("strip", "str", "str", ("strip the spaces at both ends",),
              "{x}.strip()", lambda x: x.strip()),
    Operation("title", "str", "str", ("start every word with a capital",),
              "{x}.title()", lambda x: x.title()),
    Operation("first", "str", "str", ("keep the first {0} characters",),
              "{x}[:{0}]", lambda x, n: x[:n], _each(COUNTS)),
    Operation("last", "str", "str", ("keep the last {0} characters",),
              "{x}[-{0}:]", lambda x, n: x[-n:], _each(COUNTS)),
    Operation("skip", "str", "str", ("drop the first {0} characters",),
              "{x}[{0}:]", lambda x, n: x[n:], _each(COUNTS)),
    Operation("cut", "str", "str", ("drop the last {0} characters",),
              "{x}[:-{0}]", lambda x, n: x[:-n], _each(COUNTS)),
    Operation("append", "str", "str", ("append '{0}'", "add '{0}' at the end"),
              "{x} + '{0}'", lambda x, end: x + end, _each(ENDINGS)),
    Operation("prepend", "str", "str", ("put '{0}' in front", "add '{0}' at the start"),
              "'{0}' + {x}", lambda x, start: start + x, _each(BEGINNINGS)),
    Operation("repeat", "str", "str", ("repeat the text {0} times",),
              "{x} * {0}", lambda x, n: x * n, _each(TIMES)),
    Operation("replace", "str", "str", ("replace '{0}' by '{1}'", "change every '{0}' to '{1}'"),
              "{x}.replace('{0}', '{1}')", lambda x, a, b: x.replace(a, b), _REPLACEMENTS),
    Operation("remove", "str", "str", ("remove every '{0}'",),
              "{x}.replace('{0}', '')", lambda x, a: x.replace(a, ""), _each(LETTERS)),
    Operation("join", "str", "str", ("join the characters with '{0}'",),
              "'{0}'.join({x})", lambda x, glue: glue.join(x), _each(JOINERS)),
    Operation("length", "str", "int", ("count the characters", "find the length of the text"),
              "len({x})", len),
    Operation("count", "str", "int", ("count how often '{0}' occurs",),
              "{x}.count('{0}')", lambda x, a: x.count(a), _each(LETTERS)),
    Operation("add", "int", "int", ("add {0} to the number",),
              "{x} + {0}", lambda x, n: x + n, _each(range(1, 10))),
    Operation("subtract", "int", "int", ("subtract {0} from the number",),
              "{x} - {0}", lambda x, n: x - n, _each(range(1, 10))),
    Operation("multiply", "int", "int", ("multiply the number by {0}",),
              "{x} * {0}", lambda x, n: x * n, _each(range(2, 10))),
    Operation("square", "int", "int", ("square the number",), "{x} ** 2", lambda x: x**2),
    Operation("negate", "int", "int", ("change the sign of the number",), "-{x}", lambda x: -x),
)
# fmt: on

VARIABLE = {"str": "s", "int": "n"}
INPUTS: dict[str, tuple[Any, ...]] = {
    "str": ("river stone", "  Market Day ", "Observation", "monasteries", "a", "Tin roof in rain"),
    "int": (0, 1, 7, -3, 12, 100),
}

# Docstrings; {a} and {b} are the steps' phrases, {A} the first with a capital, {x} the variable.
ONE_STEP = ("{A} and return the result.", "Return {x} after one step: {a}.", "Given {x}, {a}.")
TWO_STEPS = (
    "{A}, then {b}, and return the result.",
    "Return {x} after two steps: {a}; {b}.",
    "Given {x}, first {a}, then {b}.",
)


@dataclass(frozen=True)
class Step:
    """One operation with its parameters."""

    operation: Operation
    parameters: tuple[Any, ...]

    def code(self, variable: str) -> str:
        """The Python expression of this step."""
        return self.operation.code.format(*self.parameters, x=variable)

    def phrase(self, wording: int) -> str:
        """The step in words."""
        return self.operation.phrases[wording].format(*self.parameters)


@dataclass(frozen=True)
class Program:
    """A function of one argument: its steps and the docstring that says them."""

    steps: tuple[Step, ...]
    docstring: str

    @cached_property
    def name(self) -> str:
        """The function's name, made of the steps' names."""
        return "_then_".join(step.operation.name for step in self.steps)

    @cached_property
    def prompt(self) -> str:
        """Signature and docstring, as HumanEval's `prompt`."""
        takes, gives = self.steps[0].operation.takes, self.steps[-1].operation.gives
        head = f"def {self.name}({VARIABLE[takes]}: {takes}) -> {gives}:\n"
        return f'{head}    """ {self.docstring}\n    """\n'

    @cached_property
    def body(self) -> str:
        """The lines below the docstring, as HumanEval's `canonical_solution`."""
        return write_body(self.steps, VARIABLE[self.steps[0].operation.takes])

    def run(self, value: Any) -> Any:
        """What the function returns for `value`."""
        for step in self.steps:
            value = step.operation.apply(value, *step.parameters)
        return value


def write_body(steps: tuple[Step, ...], variable: str) -> str:
    """The indented lines that do `steps` on `variable` and return the result."""
    lines = [f"    {variable} = {step.code(variable)}\n" for step in steps[:-1]]
    return "".join(lines) + f"    return {steps[-1].code(variable)}\n"


def is_reserved(steps: tuple[Step, ...]) -> bool:
    """Whether a program is kept for the benchmark: neither text nor prompts may hold it.

    One step in eight with a rich choice of parameters and one pair of operations in eight are
    reserved, by a fixed rule over the table above, so that a reserved program is always a new
    combination of steps that occur elsewhere.
    """
    first = OPERATIONS.index(steps[0].operation)
    if len(steps) == 2:
        return (5 * first + 3 * OPERATIONS.index(steps[1].operation)) % 8 == 0
    choices = steps[0].operation.parameters
    return len(choices) > 2 and (first + choices.index(steps[0].parameters)) % 8 == 0


def draw_program(rng: random.Random, reserved: bool = False) -> Program:
    """A random program that is, or is not, reserved for the benchmark."""
    while True:
        first = _draw_step(rng, OPERATIONS)
        steps: tuple[Step, ...] = (first,)
        if rng.random() < 0.6 and first.operation.gives == first.operation.takes:
            steps = (first, _draw_step(rng, _following(first.operation)))
        if is_reserved(steps) == reserved:
            return Program(steps, _docstring(steps, rng))


def _draw_step(rng: random.Random, operations: Sequence[Operation]) -> Step:
    operation = rng.choice(operations)
    return Step(operation, rng.choice(operation.parameters))


def _following(first: Operation) -> list[Operation]:
    """The operations that may come after `first`: all that take what it gives, save itself."""
    return [after for after in OPERATIONS if after.takes == first.gives and after != first]


def _docstring(steps: tuple[Step, ...], rng: random.Random) -> str:
    phrases = [step.phrase(rng.randrange(len(step.operation.phrases))) for step in steps]
    frame = rng.choice(ONE_STEP if len(steps) == 1 else TWO_STEPS)
    return frame.format(
        a=phrases[0],
        A=phrases[0][:1].upper() + phrases[0][1:],
        b=phrases[-1],
        x=VARIABLE[steps[0].operation.takes],
    )


def _frame_pattern(frame: str) -> re.Pattern[str]:
    pattern = re.escape(frame).replace(r"\{x\}", "[a-z]").replace(r"\{A\}", "(.{1,80}?)")
    return re.compile(pattern.replace(r"\{a\}", "(.{1,80}?)").replace(r"\{b\}", "(.{1,80}?)"))


_PHRASES = {
    phrase.format(*parameters): Step(operation, parameters)
    for operation in OPERATIONS
    for phrase in operation.phrases
    for parameters in operation.parameters
}
_FRAMES = [_frame_pattern(frame) for frame in (*TWO_STEPS, *ONE_STEP)]
_HEAD = re.compile(
    r"def \w{1,80}\((?P<variable>\w{1,30}):[^\n]{0,200}\n"
    r'[ \t]{1,8}"""(?P<docstring>[^"]{1,400})"""',
)


def parse_docstring(docstring: str) -> tuple[Step, ...] | None:
    """The steps that a docstring of this grammar asks for; None for any other text."""
    text = " ".join(docstring.split())
    for frame in _FRAMES:
        if match := frame.fullmatch(text):
            found = [_PHRASES.get(phrase[:1].lower() + phrase[1:]) for phrase in match.groups()]
            if None not in found:
                return tuple(step for step in found if step)
    return None


def solve(text: str) -> tuple[str, str] | None:
    """The last function head in `text` with a docstring of this grammar, and the body it needs."""
    for match in reversed(list(_HEAD.finditer(text))):
        if steps := parse_docstring(match["docstring"]):
            return match[0], write_body(steps, match["variable"])
    return None
