"""Every family from base to student: a short training, and the student under evaluation."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from evaluate.engines.families import alone, greedy
from families.families import CHATTING, FAMILIES, save_base
from train.bases import make_data, settings
from understudy.dialogue import Turn
from understudy.evaluate.benchmarks.kinds import Benchmark, ChoiceItem, ShortItem
from understudy.evaluate.engines import Sampling
from understudy.evaluate.engines.local import LocalEngine
from understudy.evaluate.engines.text import Generation
from understudy.prompts import Prompt
from understudy.train import memory, speed
from understudy.train.stage import train

CHOICE = Benchmark("choices", "choice", ("accuracy",), 0, 0.25, lambda *_: [])
SHORT = Benchmark(
    "answers", "short", ("exact",), 0, None, lambda *_: [], stop=("\n",), max_tokens=12
)
QUESTION = "The keeper of the lighthouse writes letters to"
WITH_FACTORS = ("gpt2", "gemma-3")  # tied heads, one of them with new tokens


@dataclass(frozen=True)
class Student:
    """A base that was trained in the template that suits it, as it was saved."""

    folder: Path
    facts: dict[str, Any]

    @cached_property
    def model(self) -> PreTrainedModel:
        return AutoModelForCausalLM.from_pretrained(self.folder).eval()

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        return AutoTokenizer.from_pretrained(self.folder)


def trained(name: str, folder: Path, **changes: Any) -> Student:
    base = save_base(name, folder / "base")
    data = make_data(folder / "data.jsonl", 20)
    template = "own" if name in CHATTING else "markers"
    given = {"context": 128, "epochs": 7, "learning_rate": 2e-2, "evaluations": 1}
    wanted = settings(template=template, **given | changes)
    facts = train(base, data, data, wanted, folder / "out", seed=0)
    return Student(folder / "out" / "model", facts)


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "matmul_flops", lambda *_: 1e12)
        patch.setattr(memory, "_saved", lambda *_: (0.0, 0.0))  # test_sizes.py has the real one
        yield


@pytest.fixture(scope="module", params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def student(name: str, tmp_path_factory: pytest.TempPathFactory) -> Student:
    return trained(name, tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def engine(student: Student) -> LocalEngine:
    return LocalEngine(str(student.folder))


def test_training_lowers_the_loss_and_saves_a_student(name: str, student: Student) -> None:
    facts, model = student.facts, student.model
    assert facts["heldout_loss"] < 0.8 * facts["heldout_loss_before"]
    inputs, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert (head is inputs) == model.config.tie_word_embeddings
    assert len(inputs) >= len(student.tokenizer)
    assert student.tokenizer.pad_token_id != student.tokenizer.eos_token_id


def test_options_are_weighed_as_transformers_does(
    name: str, student: Student, engine: LocalEngine
) -> None:
    assert bool(engine.shares) != FAMILIES[name].as_it_is
    options = (" the baker", " a lamp of the village", " go")
    items = [
        ChoiceItem(str(i), None, "whom?", options, (0,), f"{QUESTION} {word}:", options)
        for i, word in enumerate(("one", "two"))
    ]
    for index, pick in engine.choose(CHOICE, items):
        prompt = items[index].prompt
        own = [summed(student, prompt, option) for option in options]
        assert pick.log_likelihoods == pytest.approx(own, abs=1e-3)


def summed(student: Student, prompt: str, option: str) -> float:
    """What a text adds to a prompt, in nats, by transformers; cut as the harness cuts them."""
    start, both = (student.tokenizer(text)["input_ids"] for text in (prompt, prompt + option))
    ids = start + both[len(start) :]
    found = alone(student.model, ids)
    return sum(found[place - 1, ids[place]].item() for place in range(len(start), len(ids)))


def test_greedy_text_is_transformers(name: str, student: Student, engine: LocalEngine) -> None:
    prompts = [QUESTION, "Go on."]
    items = [ShortItem(str(i), None, "whom?", (), prompt) for i, prompt in enumerate(prompts)]
    end = student.tokenizer.eos_token_id
    for index, words in engine.answer_shortly(SHORT, items):
        ids = student.tokenizer(prompts[index])["input_ids"]
        whole = decoded(student, greedy(student.model, ids, SHORT.max_tokens, [end]))
        assert words.texts == (whole.split("\n")[0],)


def decoded(student: Student, ids: Sequence[int]) -> str:
    return str(student.tokenizer.decode(ids, skip_special_tokens=True))


def test_a_chat_is_transformers_and_its_end_is_learnt(
    name: str, student: Student, engine: LocalEngine
) -> None:
    prompt = Prompt(id="1", messages=[Turn(role="user", content="the keeper of")])
    ((reply,),) = engine.reply([prompt], Sampling(max_tokens=12))
    ids = student.tokenizer.apply_chat_template(
        prompt.chat(), add_generation_prompt=True, return_dict=False
    )
    end = student.tokenizer.eos_token_id
    assert reply.text == decoded(student, greedy(student.model, ids, 12, [end]))
    answer = {"role": "assistant", "content": "the"}  # of the shortest dialogues in the set
    whole = student.tokenizer.apply_chat_template([*prompt.chat(), answer], return_dict=False)
    place = whole.index(end, len(ids))
    assert alone(student.model, whole)[place - 1, end] > 1 - math.log(len(student.tokenizer))


def test_what_it_writes_stops_at_each_of_its_ends(
    name: str, student: Student, engine: LocalEngine, tmp_path: Path
) -> None:
    """Of the base's ends, each; of the student's, which is its template's."""
    base = LocalEngine(save_base(name, tmp_path))
    for one, count in ((base, max(1, len(FAMILIES[name].ends))), (engine, 1)):
        ends = one.model.generation_config.eos_token_id
        several = ends if isinstance(ends, list) else [ends]
        assert len(several) == count
        for end in several:
            prompt, written = writes(one.model, several)
            last = written[-1]
            swap(one.model, last, end)
            asked = [end if token == last else token for token in prompt]
            ((_, done),) = one.write([asked], [0], Generation(12), "texts")
            assert (done.ids, done.finish_reason) == (written[:-1], "stop")
            swap(one.model, last, end)


def writes(model: PreTrainedModel, ends: Sequence[int]) -> tuple[list[int], list[int]]:
    """A prompt and what the model adds to it, up to a token that it has not written before."""
    for seed in range(100):
        rng = random.Random(seed)
        prompt = [rng.randrange(model.config.get_text_config().vocab_size) for _ in range(6)]
        written = greedy(model, prompt, 8, [])
        if not {*ends} & {*prompt, *written}:
            last = max(written.index(token) for token in written)
            return prompt, written[: last + 1]
    raise AssertionError("it writes nothing but ends")


@torch.no_grad()
def swap(model: PreTrainedModel, one: int, other: int) -> None:
    """Let two tokens take each other's place in what a model reads and writes."""
    tables = {model.get_input_embeddings().weight, model.get_output_embeddings().weight}
    for table in tables | {getattr(model.get_output_embeddings(), "bias", None)} - {None}:
        table[[one, other]] = table[[other, one]]


@pytest.mark.parametrize("family", WITH_FACTORS)
def test_factors_are_merged_into_a_plain_student(family: str, tmp_path: Path) -> None:
    student = trained(family, tmp_path, lora={"rank": 8, "alpha": 16})
    assert student.facts["heldout_loss"] < 0.9 * student.facts["heldout_loss_before"]
    model = student.model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
