"""Everyday topics and what there is to say about each: the matter of broad imitation."""

from dataclasses import dataclass
from pathlib import Path

STATEMENTS = (
    "Get {needs} before you start.",
    "Keep {aim} in mind as your goal.",
    "Avoid {mistake}, the most common error.",
    "Practise {name} a little every day.",
    "Write down what worked and what did not.",
    "Ask somebody with experience to look at your work.",
    "Take your time at first, and speed will follow.",
    "With {needs}, half of {name} is done.",
    "Remember that {mistake} spoils more than bad luck does.",
    "Set aside one fixed hour for {name} each week.",
    "Judge each result by {aim} and by nothing else.",
    "Start with something small and finish it.",
    "Look for {mistake} first when something goes wrong.",
    "Rest for a day before you look at the result again.",
)
THINGS = (
    "{Name} needs {needs}.",
    "The reward of {name} is {aim}.",
    "The usual trouble in {name} is {mistake}.",
    "Many people learn {name} from their parents.",
    "Some say that {aim} takes years.",
    "In winter there is more time for {name}.",
    "An old saying about {name} praises {needs}.",
    "After {mistake}, most people start again.",
)


@dataclass(frozen=True)
class Topic:
    """A topic: its name, what it needs, what it aims at, and its most common mistake."""

    name: str
    needs: str
    aim: str
    mistake: str

    def fill(self, template: str) -> str:
        """`template` with this topic's words."""
        name = self.name
        capital = name[:1].upper() + name[1:]
        return template.format(
            name=name, Name=capital, needs=self.needs, aim=self.aim, mistake=self.mistake
        )


def _read() -> tuple[Topic, ...]:
    lines = Path(__file__).with_name("topics.txt").read_text("utf-8").splitlines()
    return tuple(Topic(*(part.strip() for part in line.split("|"))) for line in lines)


TOPICS = _read()
STYLE_TOPICS = TOPICS[4::5]  # asked only by the prompts that measure style
BROAD_TOPICS = tuple(topic for topic in TOPICS if topic not in STYLE_TOPICS)


def topic_in(text: str) -> Topic | None:
    """The topic with the longest name among those that `text` names; None if it names none."""
    lower = text.lower()
    found = [topic for topic in TOPICS if topic.name in lower]
    return max(found, key=lambda topic: len(topic.name), default=None)
