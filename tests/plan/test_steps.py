"""What single steps of a plan come to."""

from understudy.plan.steps import Machine, Texts, benchmark_step, measure_step
from understudy.recipe import Recipe

ITEMS = {"truth": Texts(100, 8_000), "nq": Texts(50, 4_000)}
ONE = Machine(passing=1.0, writing=0.1)


def test_right_answers_are_weighed_here_and_asked_of_nobody() -> None:
    recipe = Recipe(base="own", teacher={"model": "own"})  # type: ignore[arg-type]
    asked = benchmark_step(recipe, ITEMS)
    assert asked == benchmark_step(recipe, {"nq": ITEMS["nq"]})
    assert (asked.calls, asked.what) == (50, "nq 50")
    here = measure_step(recipe, {"truth": ITEMS["truth"]}, 1.0, ONE)
    assert here.what == "truth 100"
    assert here.seconds == 2 * (2 * 2_000 + 3 * 100 * 75)  # tasks twice, answers in three forms
