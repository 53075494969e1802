"""A small panel, and raters who are through in no time."""

from collections.abc import Callable

from understudy.panel.records import Choice, Pair, Rater, Rating, Task
from understudy.panel.store import Store


def pair(item: str, **changes: object) -> Pair:
    """A pair of the student's and the teacher's answer."""
    given = {
        "item": item,
        "messages": ({"role": "user", "content": f"Tell me about {item}."},),
        "reference": f"What is known of {item}.",
        "models": ("student", "teacher"),
        "texts": (f"{item}, says the student.", f"{item}, says the teacher."),
    }
    return Pair.model_validate(given | changes)


GOLD = pair("gold", kind="gold", models=("better", "worse"), better="better")
ATTENTION = pair("attention", kind="attention", models=("fitting", "misplaced"), better="fitting")
PAIRS = [*(pair(f"item {number}") for number in range(12)), GOLD, ATTENTION]
ABOUT = {"title": "Which is better?", "decoding": {"temperature": 0.7}, "items_per_rater": 6}


def rate_all(
    store: Store, rater: Rater, say: Callable[[Task], Choice] = lambda task: "left"
) -> list[Task]:
    """Begin, and rate whatever comes; returns it in its order."""
    store.begin(rater.id)
    seen = []
    while task := store.next_task(rater.id):
        assert store.rate(rater.id, task.id, Rating(choice=say(task)))
        seen.append(task)
    return seen
