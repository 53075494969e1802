"""Nearest-neighbour BLEU equals the maximum over sacrebleu's pairs."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from understudy.curate import bleu
from understudy.curate.bleu import nearest_among, nearest_bleu, tokenize
from understudy.files import read_json, read_jsonl

SCORER = BLEU(effective_order=True)
TOKENIZER = Tokenizer13a()
MARKS = "ab1 .,-&;#<>'\"/\n\t\u00a0\u2028é中"
WORDS = ("the", "cat", "a", "on", "mat,", "3.5", "x-1", "<b>")
PROMPTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), max_size=7)


def score(prompt: str, other: str) -> float:
    return SCORER.sentence_score(prompt, [other]).score


def expected(prompts: list[str]) -> list[float]:
    """Each prompt's highest score with another one, pair by pair."""
    return [
        max(
            (score(prompt, other) for there, other in enumerate(prompts) if there != here),
            default=0,
        )
        for here, prompt in enumerate(prompts)
    ]


def repetitive(count: int, seed: int) -> list[str]:
    """Prompts of 0 to 14 words, the frequent ones often twice, some prompts copied."""
    rng = random.Random(seed)
    words = ["the", "of", "of", *(f"w{number}" for number in range(30))]
    prompts = [
        " ".join(rng.choices(words, k=rng.randrange(15))) for _ in range(count - count // 10)
    ]
    return prompts + rng.sample(prompts, count // 10)


@given(st.one_of(st.text(), st.text(MARKS), st.lists(st.text(MARKS)).map("&lt;-\n".join)))
def test_tokens_are_sacrebleus(text: str) -> None:
    assert tokenize(text) == TOKENIZER(text.rstrip()).split()


def test_marks_inside_words_are_split_as_sacrebleu_does() -> None:
    text = "Pay $3,000.50 (by 12-5)...or <skipped>e-mail a.b@c.d &amp; wait"
    assert tokenize(text) == TOKENIZER(text).split()
    assert "3,000.50" in tokenize(text)


@given(PROMPTS)
def test_scores_equal_the_highest_of_all_pairs(prompts: list[str]) -> None:
    found = nearest_bleu(prompts)
    assert found.score == pytest.approx(expected(prompts), abs=1e-9)


@pytest.mark.parametrize("merges", [0, 10**9], ids=["merged", "multiplied"])
@pytest.mark.parametrize("block", [40, 10**9], ids=["many-blocks", "one-block"])
def test_scores_are_the_same_in_pieces(
    monkeypatch: pytest.MonkeyPatch, merges: int, block: int
) -> None:
    monkeypatch.setattr(bleu, "BLOCK", block)
    monkeypatch.setattr(bleu, "CELLS", 8)
    monkeypatch.setattr(bleu, "PAIRS", 3)
    monkeypatch.setattr(bleu, "MERGES", merges)
    prompts = repetitive(60, seed=1)
    assert nearest_bleu(prompts).score == pytest.approx(expected(prompts), abs=1e-9)


def test_the_index_names_another_prompt_with_that_score() -> None:
    prompts = repetitive(80, seed=2)
    found = nearest_bleu(prompts)
    for here, there in enumerate(found.index):
        if there >= 0:
            assert there != here
            assert found.text[here] == prompts[there]
            assert score(prompts[here], prompts[there]) == pytest.approx(found.score[here])
        else:
            assert found.score[here] == 0


def test_some_queries_get_what_they_get_among_all() -> None:
    prompts = repetitive(80, seed=3)
    places = np.array([7, 50, 3, 79])
    some, everyone = nearest_bleu(prompts, places), nearest_bleu(prompts)
    assert list(some.score) == pytest.approx(list(everyone.score[places]))
    assert list(some.copied) == list(everyone.copied[places])


def test_a_set_may_be_read_once_only() -> None:
    prompts = repetitive(40, seed=4)
    once = nearest_among(iter(prompts), {5: prompts[5]})
    assert once.score[0] == pytest.approx(expected(prompts)[5])


def test_copies_score_100_and_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bleu, "BLOCK", 1)  # each prompt in a block of its own
    prompts = ["say hello to me", "another thing", "say  hello to me", "say hello to you", ""]
    found = nearest_bleu([*prompts, ""])
    assert list(found.copied) == [True, False, True, False, False, False]
    assert list(found.index[[0, 2]]) == [2, 0]
    assert list(found.score[[0, 2]]) == [100, 100]
    assert found.score[3] < 100
    assert found.score[4] == 0


def test_a_prompt_alone_has_no_other() -> None:
    found = nearest_bleu(["one and only"])
    assert (found.score[0], found.index[0], found.text[0]) == (0, -1, "")
    assert len(nearest_bleu([]).score) == 0


def test_the_end_of_a_very_long_prompt_does_not_count() -> None:
    long = "word " * (bleu.LONGEST // 5)
    assert nearest_bleu([long + "here", long + "there"]).copied.all()


@pytest.mark.realdata
def test_real_prompts_get_sacrebleus_scores(realdata: Path) -> None:
    alpaca = [row["instruction"] for row in read_json(realdata / "alpaca_en_demo.json")][:80]
    sample = realdata / "self_instruct" / "t0_train_sample.jsonl.gz"
    templates = [row["prompt"] for _, row in read_jsonl(sample)][:40]
    prompts = alpaca + templates
    assert nearest_bleu(prompts).score == pytest.approx(expected(prompts), abs=1e-9)
