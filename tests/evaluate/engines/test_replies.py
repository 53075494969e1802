"""The programs in a teacher's replies run behind what their prompt has before them."""

import pytest

from evaluate.conftest import ADD, DOUBLE
from understudy.evaluate.benchmarks.kinds import CodeItem
from understudy.evaluate.engines.replies import program_in

WHOLE = "def floor_half(a):\n    return math.floor(half(a))\n"


def item(row: dict[str, str]) -> CodeItem:
    return CodeItem(row["task_id"], None, row["prompt"], row["entry_point"], row["test"])


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{WHOLE}```",
        f"Certainly! Here it is:\n\n```\n{WHOLE}\n```\n\nI hope this helps!",
        WHOLE,
        f"```python\n{WHOLE}",  # cut
        DOUBLE["canonical_solution"],
        f"```python\nimport math\n\ndef half(a):\n    return a / 2\n\n{WHOLE}```",
    ],
)
def test_programs_in_replies_run(reply: str) -> None:
    names: dict[str, object] = {}
    exec(program_in(reply, item(DOUBLE)) + DOUBLE["test"] + "\ncheck(floor_half)", names)


def test_a_program_is_not_run_with_the_prompts_own_head() -> None:
    source = program_in("```\ndef add(a, b):\n    return b + a\n```", item(ADD))
    assert source.count("def add") == 1
