"""Topics are found, named by their words, and the same at each call."""

import random

from understudy.curate.topics import topics

SUBJECTS = {
    "garden": ["roses", "soil", "watering", "seeds", "pruning", "compost"],
    "kitchen": ["oven", "flour", "recipe", "butter", "baking", "dough"],
    "stars": ["telescope", "galaxy", "planet", "orbit", "comet", "nebula"],
}


def prompts(each: int) -> list[str]:
    rng = random.Random(0)
    found = [
        f"Please tell me about {' and '.join(rng.sample(words, 4))} in the {subject}"
        for subject, words in SUBJECTS.items()
        for _ in range(each * (2 if subject == "stars" else 1))
    ]
    rng.shuffle(found)
    return found


def test_subjects_become_topics_named_by_their_words() -> None:
    found = topics(prompts(100), count=3, seed=0)
    assert [topic["share"] for topic in found] == [0.5, 0.25, 0.25]
    for topic in found:
        owners = {
            subject
            for subject, words in SUBJECTS.items()
            if set(topic["name"].split(", ")) <= {subject, *words}
        }
        assert len(owners) == 1, topic
        assert owners.pop() in topic["example"]


def test_a_seed_gives_one_result() -> None:
    assert topics(prompts(80), 3, seed=5) == topics(prompts(80), 3, seed=5)


def test_a_set_without_words_has_no_topics() -> None:
    assert topics(["12 + 30", "the", ""], count=3, seed=0) == []
    assert topics([], count=3, seed=0) == []


def test_fewer_prompts_than_topics() -> None:
    found = topics(["bake bread", "bake bread", "plant roses", "7"], count=12, seed=0)
    assert [topic["share"] for topic in found] == [0.5, 0.25]
    assert found[0]["name"] == "bake, bread"


def test_examples_are_cut() -> None:
    assert len(topics(["word " * 500], 1, seed=0)[0]["example"]) == 200
