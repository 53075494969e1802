"""What the card says of a set's diversity."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from understudy.curate import diversity as module
from understudy.curate.bleu import nearest_bleu
from understudy.curate.diversity import distinct, diversity
from understudy.dialogue import Dialogue, Turn
from understudy.errors import UserError
from understudy.recipe import DiversitySettings

SETTINGS = DiversitySettings()


def dialogue(prompt: str, *rest: str, system: str = "") -> Dialogue:
    texts = ([("system", system)] if system else []) + [("user", prompt)]
    texts += [("assistant" if at % 2 == 0 else "user", text) for at, text in enumerate(rest)]
    turns = [Turn.model_validate({"role": role, "content": text}) for role, text in texts]
    return Dialogue(id="x", turns=turns, source="test")


def some(count: int, seed: int = 0) -> list[Dialogue]:
    rng = random.Random(seed)
    words = [f"w{number}" for number in range(40)]
    return [
        dialogue(" ".join(rng.choices(words, k=rng.randrange(3, 12))), "an answer " * number)
        for number in range(1, count + 1)
    ]


def test_a_whole_set_is_measured_exactly() -> None:
    dialogues = some(60)
    found = diversity(lambda: dialogues, SETTINGS, seed=0)
    prompts = [each.prompt for each in dialogues]
    nearest = nearest_bleu(prompts)
    told = found["nearest_bleu"]
    assert told["mean"] == pytest.approx(nearest.score.mean(), abs=1e-3)
    assert told["low"] < told["mean"] < told["high"]
    assert (told["n"], told["of"], told["exact"], told["copied"]) == (60, 60, True, 0)
    highest = [round(score, 2) for score in sorted(nearest.score, reverse=True)]
    assert told["most_similar"][0]["score"] == highest[0]
    json.dumps(found)


def test_a_sample_is_compared_with_the_whole_set() -> None:
    dialogues = some(300)
    everyone = nearest_bleu([each.prompt for each in dialogues]).score.mean()
    found = diversity(lambda: dialogues, DiversitySettings(sample=100), seed=0)["nearest_bleu"]
    assert (found["n"], found["of"]) == (100, 300)
    assert found["low"] < everyone < found["high"]
    alone = nearest_bleu([each.prompt for each in dialogues[:100]]).score.mean()
    assert found["low"] > alone  # others than the sample's were compared too


def test_a_set_is_streamed_in_order_and_a_seed_gives_one_result() -> None:
    def dialogues() -> Iterator[Dialogue]:
        yield from some(50)

    first = diversity(dialogues, DiversitySettings(sample=20), seed=1)
    assert diversity(dialogues, DiversitySettings(sample=20), seed=1) == first
    assert diversity(dialogues, DiversitySettings(sample=20), seed=2) != first


def test_every_dialogue_is_as_likely_to_be_sampled() -> None:
    dialogues = some(12)
    drawn = Counter[int]()
    firsts = Counter[int]()
    for seed in range(600):
        sample, count = module._sample(dialogues, 4, seed)
        assert count == 12
        drawn.update(each.place for each in sample)
        firsts[sample[0].place] += 1
    assert min(drawn.values()) > 140  # 200 expected
    assert max(drawn.values()) < 260
    assert min(firsts.values()) > 20  # 50 expected


def test_lengths_are_of_prompts_all_answers_and_turns_without_system() -> None:
    dialogues = [
        dialogue("four", "12", "again", "123456", system="be brief"),
        dialogue("sixsix", "1234"),
    ]
    lengths = diversity(lambda: dialogues, SETTINGS, seed=0)["lengths"]
    assert lengths["prompt_characters"] | {"p95": 0} == {
        "mean": 5.0, "min": 4, "p5": 4, "p25": 4, "p50": 4, "p75": 6, "p95": 0, "max": 6
    }  # fmt: skip
    assert lengths["answer_characters"]["mean"] == 4.0
    assert lengths["answer_characters"]["p50"] == 4
    assert lengths["turns"]["mean"] == 3.0


def test_copies_are_a_share_and_not_among_the_pairs_shown() -> None:
    prompts = ["bake bread today", "bake bread today", "bake bread now", "plant many roses here"]
    found = diversity(lambda: map(dialogue, prompts), SETTINGS, seed=0)["nearest_bleu"]
    assert found["copied"] == 0.5
    shown = [(each["prompt"], each["other"]) for each in found["most_similar"]]
    assert shown == [("bake bread now", "bake bread today")]


def test_dialogues_without_a_prompt_are_not_compared() -> None:
    answer = Dialogue(id="y", turns=[Turn(role="assistant", content="hello")], source="test")
    found = diversity(lambda: [answer, dialogue("  "), *some(3)], SETTINGS, seed=0)
    assert found["prompts"] == 3
    assert found["nearest_bleu"]["n"] == 3


@pytest.mark.parametrize("dialogues", [[], [dialogue("alone")]], ids=["none", "one"])
def test_sets_too_small_to_have_a_nearest(dialogues: list[Dialogue]) -> None:
    found = diversity(lambda: dialogues, SETTINGS, seed=0)
    assert found["prompts"] == len(dialogues)
    assert found["nearest_bleu"] is None
    json.dumps(found)


def test_distinct_counts_grams_inside_texts() -> None:
    assert distinct(["a b a", "b a"]) == {
        "tokens": 5,
        "1": 0.4,  # a b
        "2": 0.6667,  # ab ba | ba
        "3": 1.0,
    }
    assert distinct([]) == {"tokens": 0, "1": None, "2": None, "3": None}


def test_distinct_stops_at_its_size() -> None:
    def texts() -> Iterable[str]:
        yield "a b c"
        yield "d e f"
        raise AssertionError("read on")

    assert distinct(texts(), most=4) == {"tokens": 4, "1": 1.0, "2": 1.0, "3": 1.0}


def test_embedder_and_target_need_each_other() -> None:
    with pytest.raises(UserError, match="embedder and target"):
        diversity(list, DiversitySettings(target="prompts.txt"), seed=0)


def test_coverage_of_a_target_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target.txt"
    target.write_text("bake bread\nplant roses\n")
    asked = []

    def covered(prompts: list[str], targets: list[str], embedder: str) -> dict[str, float]:
        asked.append((sorted(prompts), targets, embedder))
        return {"mean": 0.5}

    monkeypatch.setattr(module, "coverage", covered)
    settings = DiversitySettings(embedder="folder", target=str(target))
    found = diversity(lambda: [dialogue("one"), dialogue("two")], settings, seed=0)
    assert found["coverage"] == {"mean": 0.5}
    assert asked == [(["one", "two"], ["bake bread", "plant roses"], "folder")]
