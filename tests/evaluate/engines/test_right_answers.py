"""What right answers cost a model: transformers' own loss on them, and training's tokens."""

from pathlib import Path

import pytest
import torch

from evaluate.engines.families import CONTEXT
from train.tiny_models import TOKENIZERS, build_model
from train.tiny_tokenizers import ALL
from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import Benchmark, PerplexityItem
from understudy.evaluate.engines import Losses
from understudy.evaluate.engines.encoding import Encoding
from understudy.evaluate.engines.local import LocalEngine
from understudy.train.formats import FORMATS
from understudy.train.template import bind

OWN = Benchmark("own", "perplexity", ("perplexity",), 0, None, lambda *_: [])
EXACT = pytest.approx


def task(number: int, instruction: str, given: str, answer: str) -> PerplexityItem:
    prompt = f"{instruction} {given}".rstrip()
    return PerplexityItem(str(number), None, instruction, given, answer, prompt, f" {answer}")


TASKS = [
    task(0, "What does a lamp do?", "", "A lamp gives light."),
    task(1, "Name the writer.", "The keeper writes letters.", "The keeper of the lighthouse"),
    task(2, "Say which year.", "", "1984"),
]


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> LocalEngine:
    return LocalEngine(str(model_dir))


def loss(engine: LocalEngine, ids: list[int], first: int, last: int | None = None) -> float:
    """What transformers makes of the tokens from `first` up to `last`."""
    labels = torch.full((1, len(ids)), -100)
    labels[0, first:last] = torch.tensor(ids[first:last])
    with torch.inference_mode():
        return float(engine.model(torch.tensor([ids]), labels=labels).loss)


def test_the_losses_are_those_of_transformers(engine: LocalEngine) -> None:
    found = dict(engine.read_answers(OWN, TASKS))
    assert sorted(found) == [0, 1, 2]
    tokenizer = engine.tokenizer
    for index, item in enumerate(TASKS):
        start, whole = (
            tokenizer(text).input_ids for text in (item.prompt, f"{item.prompt} {item.answer}")
        )
        answer = whole[len(start) :]
        losses = found[index]
        assert losses.tokens == len(answer)
        assert losses.text == EXACT(loss(engine, whole, len(start)), abs=1e-5)
        alone = loss(engine, answer, 1) if len(answer) > 1 else None
        assert losses.alone == EXACT(alone, abs=1e-5)
        assert (losses.cut, (losses.seconds or 0) > 0) == (False, True)
        if tokenizer.chat_template:
            said = [{"role": "user", "content": item.task}]
            start = tokenizer.apply_chat_template(
                said, add_generation_prompt=True, return_dict=False
            )
            said.append({"role": "assistant", "content": item.answer})
            whole = tokenizer.apply_chat_template(said, return_dict=False)
            end = len(whole) - whole[::-1].index(tokenizer.convert_tokens_to_ids("<|im_end|>")) - 1
        else:
            asked = f"User: {item.task}\nAssistant:"
            start, whole = (tokenizer(t).input_ids for t in (asked, f"{asked} {item.answer}"))
            end = len(whole)
        assert losses.chat == EXACT(loss(engine, whole, len(start), end), abs=1e-5)


def test_an_answer_of_one_token_has_nothing_to_follow_on(engine: LocalEngine) -> None:
    assert len(engine.tokenizer(" lamp", add_special_tokens=False).input_ids) == 1
    ((_, losses),) = engine.read_answers(OWN, [task(0, "What gives light?", "", "lamp")])
    assert (losses.tokens, losses.alone) == (1, None)
    assert losses.text > 0


def test_a_long_answer_is_cut_and_so_is_a_long_task(engine: LocalEngine) -> None:
    letters = "The keeper of the lighthouse writes letters. " * 20
    long, short = task(0, "Go on.", "", letters.strip()), task(1, letters, "", "A lamp")
    found = dict(engine.read_answers(OWN, [long, short]))
    start, whole = (engine.encode(text) for text in ("Go on.", f"Go on. {letters.strip()}"))
    assert found[0].cut
    assert found[0].tokens == CONTEXT - len(start) < len(whole) - len(start)
    assert found[0].text == EXACT(loss(engine, whole[:CONTEXT], len(start)), abs=1e-5)
    (_, answer) = engine.encode_pairs([(short.prompt, short.continuation)])[0]
    whole = engine.encode(f"{short.prompt}{short.continuation}")[-CONTEXT:]
    assert (found[1].cut, found[1].tokens) == (False, len(answer))
    assert found[1].text == EXACT(loss(engine, whole, CONTEXT - len(answer)), abs=1e-5)


def test_models_that_share_nothing_have_the_same_losses(engine: LocalEngine) -> None:
    shares, engine.shares = engine.shares, 0
    alone = dict(engine.read_answers(OWN, TASKS))
    engine.shares = shares
    for index, losses in engine.read_answers(OWN, TASKS):
        assert _figures(losses) == EXACT(_figures(alone[index]), abs=1e-5)


def _figures(losses: Losses) -> list[float]:
    return [losses.text, losses.chat, losses.alone or 0.0]


class Encoder(Encoding):
    name = "encoder"

    def __init__(self, tokenizer: object) -> None:
        self.tokenizer = tokenizer  # type: ignore[assignment]


@pytest.mark.parametrize("tokenizer", ALL)
@pytest.mark.parametrize("format", FORMATS)
def test_answers_in_a_chat_are_what_training_was_on(tokenizer: str, format: str) -> None:
    template = bind(format, ALL[tokenizer]())
    for item in TASKS:
        user = {"role": "user", "content": item.task} | (
            {"input": item.input} if item.input else {}
        )
        trained = template.encode([user, {"role": "assistant", "content": item.answer}])
        first = trained.supervised.index(True)
        start, answer = Encoder(template.tokenizer).encode_answered(item)
        assert start == trained.ids[:first]
        assert [*answer, template.end_id] == [
            id for id, on in zip(trained.ids, trained.supervised, strict=True) if on
        ]


def test_control_tokens_in_a_task_or_its_answer_are_text() -> None:
    tokenizer = TOKENIZERS["llama"]()
    item = task(0, "Repeat this.", "light <|im_end|>", "light <|im_end|>")
    start, answer = Encoder(tokenizer).encode_answered(item)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert (start.count(end), answer.count(end)) == (1, 0)  # the task's own
    assert tokenizer.decode(answer) == item.answer


def test_a_template_that_refuses_answers_is_named(tmp_path: Path) -> None:
    build_model("llama").save_pretrained(tmp_path)
    TOKENIZERS["llama"]().save_pretrained(tmp_path)
    engine = LocalEngine(str(tmp_path))
    engine.tokenizer.chat_template = "{{ messages[0]['content'] }}<|im_end|>"
    with pytest.raises(UserError, match="its chat template refuses a prompt"):
        list(engine.read_answers(OWN, TASKS))
