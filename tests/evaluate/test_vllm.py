"""vLLM as an engine, with a stand-in for the package: no number of these is vLLM's own.

The stand-in keeps to what vLLM 0.33 documents of `LLM`, `SamplingParams` and `RequestOutput`, as
far as the engine uses it, and refuses the rest; a small transformers model computes for it.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from train.tiny_models import TOKENIZERS, build_model
from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import Benchmark, ChoiceItem, CodeItem, PerplexityItem
from understudy.evaluate.engines import Sampling, vllm
from understudy.evaluate.engines.text import Generation, Row, until
from understudy.evaluate.engines.vllm import VllmEngine

MOST_IDS = 128  # of logprob_token_ids
HOLLOW = Benchmark("own", "choice", ("score",), 0, None, lambda *_: [])


@dataclass
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = 16
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    prompt_logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    detokenize: bool = True

    def __post_init__(self) -> None:
        ids = self.logprob_token_ids
        if ids is not None and not 0 < len(set(ids)) == len(ids) <= MOST_IDS:
            raise ValueError("logprob_token_ids: none, too many or one twice")
        if "" in self.stop or (self.stop and not self.detokenize):
            raise ValueError("stop: an empty string, or without detokenizing")


class LLM:
    """vLLM's class for work offline; keeps what it was asked."""

    def __init__(self, model: str, **options: Any) -> None:
        assert options.pop("max_model_len") == -1
        self.options = options
        self.model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(model).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.room = self.model.config.max_position_embeddings
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=self.room))
        self.asked: list[tuple[list[int], SamplingParams]] = []

    def generate(
        self, prompts: list[dict[str, Any]], sampling_params: list[SamplingParams], use_tqdm: bool
    ) -> list[SimpleNamespace]:
        assert len(prompts) == len(sampling_params)
        assert not use_tqdm
        return [
            self._answered(prompt["prompt_token_ids"], sampling)
            for prompt, sampling in zip(prompts, sampling_params, strict=True)
        ]

    @torch.inference_mode()
    def _answered(self, prompt: list[int], sampling: SamplingParams) -> SimpleNamespace:
        if not len(prompt) < self.room:
            raise ValueError("the prompt plus one output token is longer than max_model_len")
        self.asked.append((prompt, sampling))
        nats = self._nats(prompt)
        told = None
        if sampling.prompt_logprobs is not None:
            pairs = zip(prompt[1:], nats, strict=False)
            told = [None, *({token: _logprob(row[token])} for token, row in pairs)]
        random = torch.Generator().manual_seed(sampling.seed or 0)
        ids: list[int] = []
        reason, stop_reason, rows = "length", None, []
        while len(ids) < min(sampling.max_tokens or self.room, self.room - len(prompt)):
            row = self._nats(prompt + ids)[-1]
            token = self._drawn(row, sampling, random)
            ids.append(token)
            wanted = {token, *(sampling.logprob_token_ids or [])}
            rows.append({one: _logprob(row[one]) for one in wanted})
            if token == self.model.generation_config.eos_token_id:
                reason = "stop"
                break
            # As vLLM does, the text is looked for stops where it stands behind the prompt.
            text = self.tokenizer.decode(prompt + ids)[len(self.tokenizer.decode(prompt)) :]
            if stopped := next((stop for stop in sampling.stop if stop in text), None):
                reason, stop_reason = "stop", stopped
                break
        output = SimpleNamespace(
            token_ids=ids,
            finish_reason=reason,
            stop_reason=stop_reason,
            logprobs=rows if sampling.logprob_token_ids else None,
        )
        return SimpleNamespace(prompt_logprobs=told, outputs=[output])

    def _nats(self, ids: list[int]) -> torch.Tensor:
        return self.model(torch.tensor([ids])).logits[0].log_softmax(-1)

    def _drawn(self, nats: torch.Tensor, sampling: SamplingParams, random: torch.Generator) -> int:
        if sampling.temperature == 0:
            return int(nats.argmax())
        shares, order = (nats / sampling.temperature).softmax(-1).sort(descending=True)
        shares[shares.cumsum(0) - shares >= sampling.top_p] = 0
        return int(order[torch.multinomial(shares, 1, generator=random)])


def _logprob(value: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(logprob=value.item(), rank=None, decoded_token=None)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp(request.param)
    build_model(request.param).save_pretrained(place)
    TOKENIZERS[request.param]().save_pretrained(place)
    return place


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SamplingParams  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module


@pytest.fixture
def engine(folder: Path, package: ModuleType) -> VllmEngine:
    return VllmEngine(str(folder))


def plain(engine: VllmEngine, row: Row) -> list[float]:
    """What a row reads, by transformers."""
    with torch.inference_mode():
        logits = engine._llm.model(torch.tensor([row.ids])).logits[0]
    return [logits[position].log_softmax(-1)[token].item() for position, token in row.reads]


def test_rows_are_weighed_under_the_whole_distribution(engine: VllmEngine) -> None:
    ids = list(range(40, 70))
    rows = [
        Row(ids, [(29, token) for token in (7, 300, 7, 599)]),
        Row(ids[:9], [(position, ids[position + 1]) for position in range(4, 9)]),
        Row(ids[:1], [(0, 5)]),
    ]
    found = list(engine.weigh(rows, "own"))
    assert [index for index, *_ in found] == [0, 1, 2]
    for (_, values, seconds), row in zip(found, rows, strict=True):
        assert values == pytest.approx(plain(engine, row), abs=1e-5)
        assert seconds is not None
        assert seconds > 0


def test_only_what_is_read_inside_an_option_bars_the_prefix_cache(engine: VllmEngine) -> None:
    one = Row([40, 41, 42], [(2, 7), (2, 300)])
    several = Row([40, 41, 42], [(1, 42), (2, 7)])
    list(engine.weigh([one, several], "own"))
    asked = [sampling for _, sampling in engine._llm.asked]
    assert [sampling.prompt_logprobs for sampling in asked] == [None, 0]
    assert [sampling.logprob_token_ids for sampling in asked] == [[7, 300], [7]]
    assert {sampling.max_tokens for sampling in asked} == {1}
    assert engine._llm.options["enable_prefix_caching"] is True
    assert engine._llm.options["logprobs_mode"] == "raw_logprobs"


def test_options_of_any_length_are_chosen_from(engine: VllmEngine) -> None:
    items = [
        ChoiceItem("1", None, "?", ("A", "B"), (0,), "What does a lamp do?\nAnswer:", (" A", " B")),
        ChoiceItem("2", None, "?", ("a", "b"), (0,), "A lamp", (" gives light.", " writes")),
        ChoiceItem("3", None, "?", ("a", "b"), (0,), "lamp " * 40, (" gives light", " letters")),
    ]
    picks = dict(engine.choose(HOLLOW, items))
    for index, item in enumerate(items):
        for option, found in zip(
            item.continuations, picks[index].log_likelihoods or (), strict=True
        ):
            start, tail = engine.encode_pairs([(item.prompt, option)])[0]
            ids = (start + tail)[-(engine.context + 1) :]
            reads = [(place - 1, ids[place]) for place in range(len(ids) - len(tail), len(ids))]
            assert found == pytest.approx(sum(plain(engine, Row(ids[:-1], reads))), abs=1e-4)


def test_right_answers_are_weighed(engine: VllmEngine) -> None:
    item = PerplexityItem("1", None, "Go on.", "", "light", "A lamp gives", " light and letters")
    ((_, losses),) = engine.read_answers(HOLLOW, [item])
    start, answer = engine.encode_pairs([(item.prompt, item.continuation)])[0]
    for before, tail, nats in (
        (start, answer, losses.text),
        (answer[:1], answer[1:], losses.alone),
    ):
        reads = [(len(before) - 1 + place, token) for place, token in enumerate(tail)]
        values = plain(engine, Row([*before, *tail], reads))
        assert nats == pytest.approx(-sum(values) / len(values), abs=1e-5)
    assert losses.chat > 0


def test_greedy_text_is_that_of_transformers(engine: VllmEngine) -> None:
    prompts = [engine.encode("What does a lamp do?"), engine.encode("The keeper"), [40] * 80]
    found = dict(engine.write(prompts, [0, 1, 2], Generation(12), "own"))
    model, tokenizer = engine._llm.model, engine.tokenizer
    for index, prompt in enumerate(prompts):
        kept = prompt[-52:]  # of 64, beside twelve
        mask = torch.ones(1, len(kept), dtype=torch.long)
        whole = model.generate(
            torch.tensor([kept]), attention_mask=mask, max_new_tokens=12, do_sample=False
        )
        ids = whole[0, len(kept) :].tolist()
        ended = ids[-1] == model.generation_config.eos_token_id
        ids = ids[:-1] if ended else ids
        done = found[index]
        assert done.ids == ids
        assert done.text == tokenizer.decode(ids, skip_special_tokens=True)
        assert done.finish_reason == ("stop" if ended else "length")


def test_text_ends_before_an_end_token_or_a_stop_text(engine: VllmEngine) -> None:
    prompt = engine.encode("The keeper of the lighthouse")
    ((_, whole),) = engine.write([prompt], [0], Generation(20), "own")
    stop = whole.text[2:4]
    ((_, cut),) = engine.write([prompt], [0], Generation(20, (stop, "never")), "own")
    assert cut.text == until(whole.text, (stop,))
    assert (cut.finish_reason, whole.ids[: len(cut.ids)]) == ("stop", cut.ids)
    engine._llm.model.generation_config.eos_token_id = whole.ids[3]
    ((_, ended),) = engine.write([prompt], [0], Generation(20), "own")
    first = whole.ids.index(whole.ids[3])
    assert (ended.ids, ended.finish_reason) == (whole.ids[:first], "stop")


def test_a_seed_gives_one_text_whatever_stands_beside_it(engine: VllmEngine) -> None:
    how = Generation(10, temperature=1.5, top_p=0.9)
    prompt, other = engine.encode("The keeper"), engine.encode("A lamp")
    first = dict(engine.write([prompt, other, prompt], [1, 2, 3], how, "own"))
    second = dict(engine.write([prompt, prompt], [3, 1], how, "own"))
    assert [second[0], second[1]] == [first[2], first[0]]
    assert first[0].text != first[2].text
    assert {sampling.top_p for _, sampling in engine._llm.asked} == {0.9}


def test_programs_are_sampled(engine: VllmEngine) -> None:
    item = CodeItem("1", None, "def go():\n", "go", "")
    code = Benchmark("own", "code", ("pass@1",), 0, None, lambda *_: [])
    how = Sampling(samples=3, temperature=1.5, max_tokens=8)
    ((_, found),) = engine.write_programs(code, [item], how)
    assert len({program.reply for program in found.programs if program}) == 3


def test_what_is_done_can_be_kept_before_the_rest_is_asked(
    engine: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "CHUNK", 2)
    rows = [Row([40 + n], [(0, 7)]) for n in range(5)]
    weighed = engine.weigh(rows, "own")
    assert [next(weighed)[0], len(engine._llm.asked)] == [0, 2]
    assert [index for index, *_ in weighed] == [1, 2, 3, 4]
    assert len(engine._llm.asked) == 5


def test_who_answers(folder: Path, package: ModuleType) -> None:
    full, half = VllmEngine(str(folder)), VllmEngine(str(folder), "bf16")
    assert [one._llm.options["dtype"] for one in (full, half)] == ["float32", "bfloat16"]
    assert full.identity != half.identity
    assert full.identity == VllmEngine(str(folder)).identity
    assert full.context == 63


def test_faults_are_told_in_one_line(
    folder: Path, package: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="no such folder"):
        VllmEngine(str(tmp_path / "none"))

    def broken(**_: Any) -> None:
        raise RuntimeError("Failed to infer device type\nand more")

    monkeypatch.setattr(package, "LLM", broken)
    with pytest.raises(UserError, match=r"vLLM cannot load it \(Failed to infer device type\)"):
        VllmEngine(str(folder))
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="LoRA factors alone"):
        VllmEngine(str(tmp_path))
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r'pip install "understudy\[vllm\]"'):
        VllmEngine(str(folder))
