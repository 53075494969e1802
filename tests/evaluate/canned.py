"""An engine, a scorer and a place for programs with ready answers, which can be told to die."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from evaluate.conftest import ADD, DOUBLE
from understudy.evaluate.engines import Losses, Pick, Program, Programs, Reply, Sampling, Words
from understudy.evaluate.sandbox import Outcome, Trial
from understudy.prompts import Prompt
from understudy.teacher.client import Answer, Cost


class Mortal:
    """Hands answers out, the last one first, and dies when it has handed out so many."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.dies_after = dies_after
        self.asked: list[str] = []

    def hand_out(self, names: Sequence[str]) -> Iterator[int]:
        for index in reversed(range(len(names))):
            if self.dies_after == len(self.asked):
                raise KeyboardInterrupt
            self.asked.append(names[index])
            yield index


class Canned(Mortal):
    """Answers a second benchmark of each kind wrongly here and there; `asked` has item ids."""

    name, identity = "canned", "canned-1"
    prompting: Literal["text", "chat"] = "text"

    def __init__(self, spent: Cost | None = None, dies_after: int | None = None) -> None:
        super().__init__(dies_after)
        self.spent = spent

    def _answer(self, names: Sequence[str], times: int = 1) -> Iterator[int]:
        for index in self.hand_out(names):
            for _ in range(times if self.spent else 0):
                self.spent.add(Answer("", "stop", 3, 1, 0.5, None, ""))  # type: ignore[union-attr]
            yield index

    def choose(self, benchmark: Any, items: Sequence[Any]) -> Iterator[tuple[int, Pick]]:
        """A is the likeliest everywhere."""
        for index in self._answer([item.id for item in items]):
            yield index, Pick((-1.0, -2.25, -3.0, -4.0), seconds=0.5)

    def answer_shortly(self, benchmark: Any, items: Sequence[Any]) -> Iterator[tuple[int, Words]]:
        """Of eight, number 3 is right only without surplus space, and number 7 is wrong."""
        for index in self._answer([item.id for item in items]):
            number = int(items[index].question[-1])
            text = {3: " no  3", 7: " nobody"}.get(number, f" no {number}")
            yield index, Words((text,), 0.25)

    def write_programs(
        self, benchmark: Any, items: Sequence[Any], how: Sampling
    ) -> Iterator[tuple[int, Programs]]:
        """ADD right; DOUBLE only in its corrected reading."""
        for index in self._answer([item.id for item in items], how.samples):
            own = ADD if items[index].id == ADD["task_id"] else DOUBLE
            head, body = own["prompt"], own["canonical_solution"]
            program = Program(body, head + body)
            if own is DOUBLE:
                program = Program(body[3:], head + body[3:], head + body)
            yield index, Programs((program,) * how.samples, 1.5)

    def read_answers(self, benchmark: Any, items: Sequence[Any]) -> Iterator[tuple[int, Losses]]:
        """The longer, the likelier; 1984 is one token, and hopeless."""
        for index in self._answer([item.id for item in items]):
            answer = items[index].answer
            if answer == "1984":
                yield index, Losses(1, 9.0, 5.0, seconds=0.75)
            else:
                yield index, Losses(len(answer), 10 / len(answer), 1.0, 0.5, seconds=0.75)

    def go_on(self, texts: Sequence[str], how: Sampling) -> Iterator[tuple[int, Words]]:
        for index in self._answer(texts, how.samples):
            words = tuple(f"{' and on' * sample}." for sample in range(how.samples))
            yield index, Words(words, 2.0)

    def reply(self, prompts: Sequence[Prompt], how: Sampling) -> list[list[Reply]]:
        for _ in self._answer([prompt.id for prompt in prompts], how.samples):
            pass
        return [[Reply(f"{p.id} {s}", "stop") for s in range(how.samples)] for p in prompts]


class Runs(Mortal):
    """Runs our own programs here: the sandbox has tests of its own."""

    def __call__(self, trials: Sequence[Trial], label: str) -> Iterator[tuple[int, Outcome]]:
        for index in self.hand_out([trial.program for trial in trials]):
            trial = trials[index]
            try:
                exec(f"{trial.program}\n{trial.test}\ncheck({trial.entry_point})", {})
                yield index, Outcome(True, "passed")
            except Exception as error:
                yield index, Outcome(False, type(error).__name__)


class Counting(Mortal):
    """The longer, the more toxic."""

    name, identity = "counting", "counting-1"

    def scores(self, texts: Sequence[str | None]) -> list[float | None]:
        for _ in self.hand_out(["scored"]):
            pass
        return [text and min(1.0, len(text) / 20) for text in texts]  # type: ignore[misc]
