"""What both sides of benchmarks/evaluate.py are given: models, data and programs."""

import csv
import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from peers.training import (
    SEED,
    SHAPES,
    VOCABULARY,
    Shape,
    gpt2,
    llama,
    save_model,
    train_tokenizer,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

SMALL = {  # for parity
    "small gpt2": Shape(gpt2(17_000, 128, 4, 4), 0),
    "small llama": Shape(llama(128, 352, 4, 4, 2), 0),
}
STEPS, ROWS, WINDOW = 150, 8, 128  # of their training
CONTEXTS = {"gpt2": 1024, "llama": 2048}  # of the two architectures

# The models


def save_random(name: str, texts: Iterable[str], device: str, folder: Path) -> None:
    """Save a model of a shape at random init, with a tokenizer of its architecture's kind."""
    shape = (SHAPES | SMALL)[name]
    is_llama = "llama" in name
    tokenizer = train_llama_tokenizer(texts) if is_llama else train_tokenizer(texts)
    context = CONTEXTS["llama" if is_llama else "gpt2"]
    save_model(shape, context, tokenizer, device, folder)


def train_llama_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """As LLaMA's: spaces are letters, each text gets one and an opening token before it, and a
    decoded text loses its first space."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
    )


def save_trained(base: Path, texts: Iterable[str], folder: Path) -> None:
    """Train a saved model a little, until its answers have an end."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = torch.tensor(tokenizer.encode("".join(texts)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    torch.manual_seed(SEED)
    for _ in range(STEPS):
        starts = torch.randint(len(ids) - WINDOW, (ROWS,))
        batch = torch.stack([ids[start : start + WINDOW] for start in starts])
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# The data


def subjects_in(data: Path) -> list[str]:
    """MMLU's subjects of which both files are there."""
    dev, test = (
        {path.stem.removesuffix(f"_{split}") for path in (data / "mmlu" / split).glob("*.csv")}
        for split in ("dev", "test")
    )
    return sorted(dev & test)


def texts_in(data: Path) -> Iterator[str]:
    """The words of MMLU and Natural Questions."""
    for path in sorted((data / "mmlu").glob("*/*.csv")):
        yield from path.read_text().splitlines(keepends=True)
    yield from questions_in(data)


def questions_in(data: Path) -> Iterator[str]:
    """Natural Questions with one answer each."""
    for line in (data / "NQ-open.dev.jsonl").read_text().splitlines():
        record = json.loads(line)
        yield f"Q: {record['question']}?\nA: {record['answer'][0]}\n"


def link_data(data: Path, subjects: Iterable[str], folder: Path) -> None:
    """A folder of published files with some of MMLU's subjects alone."""
    for split in ("dev", "test"):
        (folder / "mmlu" / split).mkdir(parents=True)
        for subject in subjects:
            path = Path("mmlu", split, f"{subject}_{split}.csv")
            (folder / path).symlink_to((data / path).resolve())
    for path in data.glob("*"):
        if path.name != "mmlu":
            (folder / path.name).symlink_to(path.resolve())


def make_arc(data: Path, count: int) -> Iterator[dict[str, Any]]:
    """Questions of MMLU in ARC's form, in which the options' texts are weighed."""
    rows = []
    for path in sorted((data / "mmlu" / "test").glob("*.csv")):
        with path.open(newline="") as lines:
            rows += list(csv.reader(lines))
    for number, (stem, *options, letter) in enumerate(random.Random(SEED).sample(rows, count)):
        choices = [
            {"text": text, "label": label} for label, text in zip("ABCD", options, strict=True)
        ]
        question = {"stem": stem, "choices": choices}
        yield {"id": str(number), "question": question, "answerKey": letter}


def make_hellaswag(data: Path, count: int) -> Iterator[dict[str, Any]]:
    """Answers of the Alpaca-format file in HellaSwag's form: which second half is this one's?"""
    rng = random.Random(SEED)
    outputs = [one["output"] for one in json.loads((data / "alpaca_en_demo.json").read_text())]
    words = [words for output in outputs if len(words := output.split()) > 20]
    halves = [(" ".join(text[:10]), " ".join(text[10:20])) for text in words]
    for number in range(count):
        right, *wrong = rng.sample(halves, 4)
        endings = [right[1], *(ending for _, ending in wrong)]
        label = number % 4
        endings[0], endings[label] = endings[label], endings[0]
        yield {
            "ind": number,
            "activity_label": "Answering [step] a question",
            "ctx_a": right[0],
            "ctx_b": "and then",
            "ctx": f"{right[0]} And then",
            "split": "val",
            "split_type": "indomain",
            "source_id": f"made~{number}",
            "endings": endings,
            "label": label,
        }


MADE = {
    "ARC-Challenge/ARC-Challenge-Test.jsonl": make_arc,
    "hellaswag_val.jsonl": make_hellaswag,
}

# The programs

Problem = dict[str, str]
PROGRAMS: dict[str, Callable[[int, Problem], str]] = {
    "is right": lambda _, problem: problem["canonical_solution"],
    "prints and goes on": lambda _, problem: (
        f"    print('a line')\n{problem['canonical_solution']}\n\nsolved = True\n"
    ),
    "returns nothing": lambda *_: "    return None\n",
    "raises": lambda *_: "    raise ValueError('no')\n",
    "ends the process": lambda *_: "    import sys\n    sys.exit(0)\n",
    "does not parse": lambda *_: "    return (\n",
    "is empty": lambda *_: "",
    # Each costs its whole time.
    "loops at times": lambda number, problem: (
        problem["canonical_solution"] if number % 20 else "    while True:\n        pass\n"
    ),
    "recurses without end": lambda *_: "    return (lambda f: f(f))(lambda f: f(f))\n",
}


def completions_of(data: Path, count: int) -> dict[str, list[str]]:
    """Programs of each sort for the first of HumanEval's problems."""
    with gzip.open(data / "HumanEval.jsonl.gz", "rt") as lines:
        problems = [json.loads(line) for line in lines][:count]
    return {
        sort: [write(number, problem) for number, problem in enumerate(problems)]
        for sort, write in PROGRAMS.items()
    }
