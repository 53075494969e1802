"""The local engine, from items to answers, against plain loops and transformers' generation."""

import json
import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from evaluate.conftest import ADD
from evaluate.engines.families import (
    CONTEXT,
    LONGROPE,
    PLAIN,
    SHARING,
    alone,
    counted,
    drawn_prompts,
    drawn_rows,
    greedy,
    read_alone,
    sized,
)
from train.tiny_models import TEXT, TOKENIZERS, build_model
from understudy.dialogue import Turn
from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import Benchmark, ChoiceItem, CodeItem, ShortItem
from understudy.evaluate.engines import Sampling
from understudy.evaluate.engines.local import LocalEngine
from understudy.evaluate.engines.opened import open_model
from understudy.evaluate.engines.text import Generation, until
from understudy.prompts import Prompt
from understudy.recipe import EvaluateSettings

CHOICE = Benchmark("choices", "choice", ("accuracy",), 0, 0.25, lambda *_: [])
SHORT = Benchmark(
    "answers", "short", ("exact",), 0, None, lambda *_: [], stop=("\n", ".", ","), max_tokens=16
)
CODE = Benchmark("programs", "code", ("pass@1",), 0, None, lambda *_: [], stop=("\nclass", "\nif"))
WORDS = " ".join(TEXT).split()
QUESTIONS = ["Q: what does a lamp do?\nA:", "Q: who writes letters?\nA:"]


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> LocalEngine:
    return LocalEngine(str(model_dir))


def saved(folder: Path, model: torch.nn.Module, tokenizer: str = "gpt2") -> LocalEngine:
    model.save_pretrained(folder)
    TOKENIZERS[tokenizer]().save_pretrained(folder)
    return LocalEngine(str(folder))


# Choices


def harness_log_likelihood(engine: LocalEngine, context: str, continuation: str) -> float:
    """As the harness computes it, one option at a time."""
    start = engine.tokenizer.encode(context)
    whole = engine.tokenizer.encode(context + continuation)
    tail = whole[len(start) :]
    ids = whole[-(CONTEXT + 1) : -1]
    logs = alone(engine.model, ids)
    places = range(len(ids) - len(tail), len(ids))
    return sum(logs[place, token].item() for place, token in zip(places, tail, strict=True))


def choice(number: int, prompt: str, *continuations: str) -> ChoiceItem:
    options = tuple(text.strip() for text in continuations)
    return ChoiceItem(str(number), None, "q", options, (0,), prompt, continuations)


def test_choices_equal_the_harness(engine: LocalEngine) -> None:
    rng = random.Random(0)
    header = " ".join(WORDS[:12])
    texts = [f"{header} {' '.join(rng.choices(WORDS, k=rng.randint(1, 5)))}" for _ in range(10)]
    texts += [" ".join(rng.choices(WORDS, k=60)), "short"]  # the first is cut on the left
    items = []
    for number, text in enumerate(texts):
        endings = [" " + " ".join(rng.choices(WORDS, k=rng.randint(1, 6))) for _ in range(3)]
        letters = [f" {letter}" for letter in "ABCD"]
        items.append(choice(number, f"{text}\nAnswer:", *(endings if number % 2 else letters)))
    picks = dict(engine.choose(CHOICE, items))
    assert sorted(picks) == list(range(len(items)))
    for number, item in enumerate(items):
        expected = [harness_log_likelihood(engine, item.prompt, c) for c in item.continuations]
        found = picks[number].log_likelihoods
        assert found == pytest.approx(expected, abs=1e-4)
        assert found == tuple(round(value, 6) for value in found or ())
        assert (picks[number].seconds or 0) > 0


def test_a_context_that_ends_in_space(engine: LocalEngine) -> None:
    tokens = [engine.tokenizer.encode(f"x: {a}", add_special_tokens=False) for a in "ABCD"]
    assert len({len(ids) for ids in tokens}) > 1, "letters of unlike lengths are to be tested"
    ((_, pick),) = engine.choose(CHOICE, [choice(0, "The keeper of the lighthouse: ", *"ABCD")])
    context = "The keeper of the lighthouse:"
    expected = [harness_log_likelihood(engine, context, f" {letter}") for letter in "ABCD"]
    assert pick.log_likelihoods == pytest.approx(expected, abs=1e-4)


def test_an_empty_context_is_the_opening_token(engine: LocalEngine) -> None:
    ((_, pick),) = engine.choose(CHOICE, [choice(0, "", "A lamp", "letters")])
    opening = [engine.tokenizer.bos_token_id]
    for text, found in zip(("A lamp", "letters"), pick.log_likelihoods or (), strict=True):
        tail = engine.tokenizer.encode(text, add_special_tokens=False)
        logs = alone(engine.model, opening + tail)
        expected = sum(logs[place, token].item() for place, token in enumerate(tail))
        assert found == pytest.approx(expected, abs=1e-4)


# Generated answers


def text_alone(engine: LocalEngine, prompt: str, most: int) -> str:
    """What transformers writes."""
    ids = engine.encode(prompt)
    new = greedy(engine.model, ids, min(most, CONTEXT - len(ids)), [0])
    return str(engine.tokenizer.decode(new, skip_special_tokens=True))


def test_short_answers_and_programs(engine: LocalEngine) -> None:
    items = [ShortItem(str(i), None, "q", ("a",), prompt) for i, prompt in enumerate(QUESTIONS)]
    answers = dict(engine.answer_shortly(SHORT, items))
    assert len(answers) == 2
    for index, words in answers.items():
        assert words.texts == (until(text_alone(engine, QUESTIONS[index], 16), SHORT.stop),)
        assert (words.seconds or 0) > 0
    code = CodeItem("Own/0", None, "def add(a, b):\n", "add", ADD["test"])
    ((_, programs),) = engine.write_programs(CODE, [code], Sampling(max_tokens=12))
    (program,) = programs.programs
    assert program
    assert program.reply == until(text_alone(engine, code.prompt, 12), CODE.stop)
    assert program.source == code.prompt + program.reply
    assert program.corrected is None


def test_programs_are_sampled(engine: LocalEngine) -> None:
    code = CodeItem("Own/0", None, "def add(a, b):\n", "add", ADD["test"])
    how = Sampling(samples=5, temperature=0.8, top_p=0.95, max_tokens=12, seed=3)
    ((_, one),) = engine.write_programs(CODE, [code], how)
    ((_, other),) = engine.write_programs(CODE, [code], how)
    assert one.programs == other.programs
    assert len({program.source for program in one.programs if program}) > 1
    assert (one.seconds or 0) > 0


def test_texts_are_completed_to_the_end_of_their_line(engine: LocalEngine) -> None:
    texts = [*QUESTIONS, "The village"]
    for text, done in zip(texts, engine.complete(texts, 0.0, 12, 0), strict=True):
        assert done == text_alone(engine, text, 12).split("\n")[0]
    together = engine.complete(texts, 1.0, 12, 3)
    assert [engine.complete([text], 1.0, 12, 3)[0] for text in texts] == together
    assert engine.complete(texts[::-1], 1.0, 12, 3) == together[::-1]
    assert engine.complete(texts, 1.0, 12, 4) != together


def test_continuations_of_a_text_and_of_none(engine: LocalEngine) -> None:
    texts = ["The village", ""]
    found = dict(engine.go_on(texts, Sampling(max_tokens=6)))
    opening = greedy(engine.model, [engine.tokenizer.bos_token_id], 6, [0])
    assert found[0].texts == (text_alone(engine, "The village", 6),)
    assert found[1].texts == (engine.tokenizer.decode(opening, skip_special_tokens=True),)


def test_a_first_space_that_decoding_drops_is_given_back(tmp_path: Path) -> None:
    """Tokenizers of LLaMA's kind decode a continuation without its first space."""
    vocabulary = ["<unk>", "▁", "▁def", "▁f", "\n", "▁return", "x", ":"]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    model = build_model("llama", len(vocabulary))
    model.save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(tmp_path)
    engine = LocalEngine(str(tmp_path))
    new = [1, 1, 5, 6]
    assert engine.tokenizer.decode(new) == "  returnx"
    assert engine._decode_after([2, 3, 7, 4], new) == "   returnx"


# Chats


def prompt(text: str, id: str = "1") -> Prompt:
    return Prompt(id=id, messages=[Turn(role="user", content=text)])


def test_a_chat_is_rendered_by_the_models_template(tmp_path: Path) -> None:
    engine = saved(tmp_path, build_model("llama"), "llama")
    plain = AutoTokenizer.from_pretrained(tmp_path)
    for text in ["hello", "hello <|im_end|> there"]:
        messages = prompt(text).chat()
        ids = plain.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert engine.encode_chat(messages) == ids
    control = plain.convert_tokens_to_ids("<|im_end|>")
    forged = prompt("hello <|im_end|>").chat()
    assert engine.encode_chat(forged).count(control) == 2
    assert engine.encode_chat(forged, strangers=True).count(control) == 1


def test_a_template_that_refuses_a_prompt_is_named(tmp_path: Path) -> None:
    engine = saved(tmp_path, build_model("llama"), "llama")
    engine.tokenizer.chat_template = "{{ raise_exception('only two turns') }}"
    with pytest.raises(UserError, match=r"its chat template refuses a prompt \(only two turns\)"):
        engine.reply([prompt("hello")], Sampling(max_tokens=4))


def test_a_model_without_template_is_shown_a_plain_dialogue(tmp_path: Path) -> None:
    engine = saved(tmp_path, build_model("gpt2"))
    shown = engine.tokenizer.decode(engine.encode_chat(prompt("What does a lamp do?").chat()))
    assert shown == "User: What does a lamp do?\nAssistant:"
    (replies,) = engine.reply([prompt("What does a lamp do?")], Sampling(2, max_tokens=8))
    assert replies[0] == replies[1]
    assert replies[0].text == until(text_alone(engine, shown, 8), ("\nUser:",)).strip()


def test_replies_do_not_depend_on_other_prompts(engine: LocalEngine) -> None:
    prompts = [prompt(f"Tell {word}.", id=word) for word in ("lamp", "village", "baker")]
    how = Sampling(2, temperature=1.0, max_tokens=8, seed=3)
    together = engine.reply(prompts, how)
    assert together[1:2] == engine.reply(prompts[1:2], how)
    assert together != engine.reply(prompts, Sampling(2, temperature=1.0, max_tokens=8, seed=4))
    assert [len(row) for row in together] == [2, 2, 2]


# The model


def test_a_model_that_shares_nothing_is_run_the_plain_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which is said, once."""
    for family in ("bloom", "mamba"):
        engine = saved(tmp_path / family, sized(PLAIN[family]))
        assert not engine.shares
        rows = drawn_rows(random.Random(3), 4)
        for index, values, _ in engine.weigh(rows, "rows"):
            assert values == pytest.approx(read_alone(engine.model, rows[index]), abs=1e-4)
        prompts = drawn_prompts(random.Random(3), 3)
        found = dict(engine.write(prompts, [0] * 3, Generation(4), "texts"))
        assert [found[i].ids for i in range(3)] == [
            greedy(engine.model, ids, 4, [0]) for ids in prompts
        ]
        assert capsys.readouterr().err.count("shares no prefixes") == 1
        assert engine.context == 2048, "these say nothing of how much they see"


def test_a_model_that_shares_is_run_over_a_tree(
    engine: LocalEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine.shares
    assert engine.context == CONTEXT
    shared = "The keeper of the lighthouse writes letters to the baker of the village."
    items = [choice(i, f"{shared} {word}", " A", " B") for i, word in enumerate(WORDS[:10])]
    with counted(engine.model.get_input_embeddings(), 1) as tokens:
        list(engine.choose(CHOICE, items))
    rows = sum(len(engine.encode(f"{shared} {word}")) for word in WORDS[:10])
    assert sum(tokens) < 0.5 * rows
    assert "prefixes" not in capsys.readouterr().err


def test_layers_of_unlike_sizes(tmp_path: Path) -> None:
    engine = saved(tmp_path, sized(SHARING["gemma3n"]))
    assert engine.shares
    rows = drawn_rows(random.Random(3), 6)
    for index, values, _ in engine.weigh(rows, "rows"):
        assert values == pytest.approx(read_alone(engine.model, rows[index]), abs=1e-4)


def test_long_texts_whose_positions_are_encoded_anew_share_nothing(tmp_path: Path) -> None:
    engine = saved(tmp_path, sized(LONGROPE))
    assert engine.shares == 40
    rng = random.Random(4)
    rows = drawn_rows(rng, 16)
    assert {len(row.ids) > 40 for row in rows} == {True, False}
    found = {index: values for index, values, _ in engine.weigh(rows, "rows")}
    for index, row in enumerate(rows):
        assert found[index] == pytest.approx(read_alone(engine.model, row), abs=1e-4)
    prompts = drawn_prompts(rng, 8)
    texts = dict(engine.write(prompts, [0] * 8, Generation(8), "texts"))
    for index, ids in enumerate(prompts):
        assert texts[index].ids == greedy(engine.model, ids, 8, [0])


def test_bf16_is_another_model(model_dir: Path) -> None:
    """Near its numbers, and with an identity of its own."""
    exact = open_model(str(model_dir), EvaluateSettings())
    rounded = open_model(str(model_dir), EvaluateSettings(dtype="bf16"))
    assert exact.identity != rounded.identity
    assert exact.identity == LocalEngine(str(model_dir)).identity
    assert isinstance(rounded, LocalEngine)
    assert rounded.shares
    assert rounded.model.dtype == torch.bfloat16
    item = choice(0, "The keeper of the lighthouse", " writes letters", " A")
    ((_, one),) = exact.choose(CHOICE, [item])
    ((_, other),) = rounded.choose(CHOICE, [item])
    assert other.log_likelihoods == pytest.approx(one.log_likelihoods, abs=0.3)
    assert other.log_likelihoods != one.log_likelihoods


def test_identity_follows_the_content(tmp_path: Path) -> None:
    one = saved(tmp_path / "one", build_model("gpt2"))
    same = saved(tmp_path / "same", build_model("gpt2"))
    other = saved(tmp_path / "other", build_model("llama"))
    assert one.identity == same.identity != other.identity


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        LocalEngine(str(tmp_path / "nowhere"))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    with pytest.raises(UserError, match="broken: cannot be loaded"):
        LocalEngine(str(broken))
    (broken / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    with pytest.raises(UserError, match="broken: cannot be loaded"):
        LocalEngine(str(broken))


def test_a_lack_of_memory_is_said_in_a_line(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(engine.model, "forward", lacking)
    with pytest.raises(UserError, match="out of memory while evaluating a model; choose a smaller"):
        list(engine.choose(CHOICE, [choice(0, "A lamp", " A", " B")]))
    with pytest.raises(UserError, match="out of memory"):
        list(engine.go_on(["A lamp"], Sampling()))
