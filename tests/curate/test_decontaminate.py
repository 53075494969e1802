"""Benchmark items are found in dialogues, however they were changed; other items are not."""

import gzip
import json
import pickle
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from understudy.curate.decontaminate import Contamination, Hit, Item, hit_row, table_of_hits
from understudy.dialogue import Dialogue, Turn
from understudy.gather import benchmark_items

KINDS = ("verbatim", "recased", "inserted", "embedded")
INSERTED = "really perhaps old actually green certainly however simply strange also today"


def said(*turns: str, id: str = "1") -> Dialogue:
    """A dialogue in which user and assistant take turns."""
    roles = ("user", "assistant") * len(turns)
    spoken = [Turn(role=role, content=text) for role, text in zip(roles, turns, strict=False)]  # type: ignore[arg-type]
    return Dialogue(id=id, turns=spoken, source="own")


def found(items: list[Item], *turns: str) -> list[Hit]:
    (hits,) = Contamination(items).hits([said(*turns)])
    return hits


def rule(items: list[Item], text: str) -> str | None:
    hits = found(items, text)
    return hits[0].rule if hits else None


LAMP = Item("nq", "1", "who carried the last lamp over the frozen harbour of Orvik")
BAKER = Item(
    "gsm8k",
    "1",
    "Tilda bakes 14 loaves before noon and sells each of them for 3 crowns at the bridge. In the "
    "evening she gives 2 loaves to her neighbour. How many crowns does Tilda take home that day?",
)
METAL = Item(
    "mmlu",
    "metals/1",
    "Which of the following is true?",
    ("Tin melts before lead", "Lead melts before tin", "Both melt at once", "Neither melts"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LAMP.text, "verbatim"),
        ("WHO CARRIED THE LAST LAMP, OVER THE FROZEN HARBOUR OF ORVIK??", "verbatim"),
        (f"I was asked this at school: {LAMP.text}? Nobody knew.", "verbatim"),
        ("who once carried the very last lamp safely over the frozen old harbour of Orvik", "near"),
        ("who carried that last lamp over a frozen harbour of Orvik", "near"),
        ("who carried the last lamp over the frozen harbour of Elmsee", None),
        ("when was the last lamp carried over the frozen harbour of Orvik", None),
        ("Orvik of harbour frozen the over lamp last the carried who", None),
        ("who carried the last lamp? " + "It was dark. " * 9 + "the frozen harbour of Orvik", None),
    ],
)
def test_the_words_in_order_prove_an_item(text: str, expected: str | None) -> None:
    assert rule([LAMP], text) == expected


def test_where_it_was_found() -> None:
    answer = f"Well — \N{GRINNING FACE} {LAMP.text.upper()}?\nNo idea."
    (hit,) = found([LAMP], "Ask me something.", answer)
    assert asdict(hit) | {"start": 0, "end": 0} == asdict(Hit("nq", "1", "verbatim", 1.0, 2, 0, 0))
    assert answer[hit.start : hit.end] == LAMP.text.upper()
    row = hit_row(asdict(hit), "d7", said("Ask me something.", answer).model_dump())
    assert row == {
        "benchmark": "nq",
        "item": "1",
        "dialogue": "d7",
        "rule": "verbatim",
        "share": 1.0,
        "turn": 2,
        "span": LAMP.text.upper(),
    }
    whole = asdict(Hit("nq", "1", "near", 1.0, 1, 0, 10**9))
    assert len(hit_row(whole, "1", said("word " * 10_000).model_dump())["span"]) == 1000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("14", "15"),
        ("14 loaves", "14 loaves and 6 cakes"),
        ("Tilda", "Marten"),
        ("that day", "after 2 days"),
    ],
)
def test_another_number_or_name_is_another_item(old: str, new: str) -> None:
    assert rule([BAKER], BAKER.text.replace(old, new)) is None


def test_sums_are_told_apart() -> None:
    items = [Item("sums", str(n), f"What is {n} + 4?") for n in range(3, 9)]
    assert [hit.item for hit in found(items, "what is 5 + 4")] == ["5"]
    for text in ("What is 5 - 4?", "What is 5 + 14?", "What is 5 + 4 + 2?", "What is 12 + 4?"):
        assert found(items, text) == []


def test_dashes_and_stars_are_layout_except_in_sums() -> None:
    item = Item("nq", "1", "which of these - tin or lead - did the smiths of Orvik melt * first")
    assert rule([item], item.text.replace(" -", ",").replace(" *", "")) == "near"
    assert rule([item], item.text.replace(" * ", " * really ")) == "near"
    assert rule([item], item.text.replace("- ", "").replace("did", "- did truly")) == "near"
    total = Item("nq", "2", "how many coins are 17 - 4 of the old coins of Orvik")
    assert rule([total], total.text.replace("are", "then are")) == "near"
    assert rule([total], total.text.replace("are", "then are").replace("-", "+")) is None


def test_options_do_not_excuse_another_name_or_number() -> None:
    for right, wrong in (("the group that is called Zeta", "Theta"), ("a group of order 10", "6")):
        asked = f"Find the largest order that some element of it may have for {right}"
        item = Item("mmlu", "1", f"{asked}.", ("five", "12 at most", "thirty", "no more"))
        assert rule([item], f"{asked}, please.") == "verbatim"
        assert rule([item], asked.replace(right.split()[-1], f"{wrong}, please.")) is None


def test_punctuation_within_words_hides_nothing() -> None:
    item = Item(
        "nq", "1", "where did the crew of the U.S.S. Karu land its boats on the 9th of May?"
    )
    strict = str.maketrans("", "", ".?")
    text = f"Q: {item.text.translate(strict).upper()} A: nowhere"
    (hit,) = found([item], text)
    assert (hit.rule, hit.share) == ("verbatim", 1.0)
    assert text[hit.start : hit.end] == text[3:-11]
    assert rule([item], item.text.translate(strict).replace("9", "8")) is None
    short = Item("nq", "2", "what is the U.S.S. Karu 12 3 known for")
    assert rule([short], "what is the USS Karu 12 3 known for") == "verbatim"
    assert rule([short], "what is the USS Karu 1 23 known for") is None
    long = BAKER.text.replace("14", "1,400").replace("3 crowns", "2/3 crowns")
    assert rule([Item("gsm8k", "1", long)], long.translate(str.maketrans("", "", ",./?"))) == (
        "verbatim"
    )
    sharp = Item("nq", "1", "who first walked the Große Gasse of Ulmen at night")
    assert rule([sharp], sharp.text.upper()) == "verbatim"


def test_most_of_a_long_item_is_enough() -> None:
    cut = BAKER.text.partition(" How many")[0]
    assert rule([BAKER], f"Here is the beginning of a task. {cut}. What may follow?") == "n-gram"
    assert rule([BAKER], " ".join(BAKER.text.split()[:13])) is None
    slip = BAKER.text.replace("neighbour", "neigbhour")
    assert rule([BAKER], slip) == "n-gram"
    assert rule([BAKER], f"{cut}, but her 2 sons eat 5. How many are left?") is None


def test_a_cut_is_no_exchange_of_numbers() -> None:
    first, _, rest = BAKER.text.partition(". ")
    assert rule([BAKER], f"Marten paints boats all day. {rest}") == "n-gram"
    assert rule([BAKER], f"Marten paints 9 boats. {rest}") is None
    turned = Item("gsm8k", "1", f"{rest} {first}.")
    assert rule([turned], f"{rest} Marten paints boats all day.") == "n-gram"
    assert rule([turned], f"{rest} Marten paints 9 boats.") is None


def test_a_question_that_could_be_anybodys_needs_its_options_or_a_turn() -> None:
    asked = f"{METAL.text}\n" + "".join(
        f"{letter}. {text}\n" for letter, text in zip("ABCD", METAL.options, strict=True)
    )
    assert rule([METAL], f"A question of metals. {asked}Answer:") == "near"
    assert rule([METAL], f"{METAL.text} {' '.join(METAL.options)}") == "verbatim"
    assert rule([METAL], METAL.text.upper()) == "verbatim"
    assert rule([METAL], "Now, which of the following is true?") == "near"
    assert rule([METAL], "I wonder: which of the following is true? Snow is warm.") is None
    assert rule([METAL], METAL.text + " Snow is warm, snow is cold, snow is wet") is None


def test_a_question_known_by_itself_needs_no_options() -> None:
    item = Item("mmlu", "1", "Who mapped the reefs of Tamsoor first?", ("Ida", "Olm", "Per", "Una"))
    assert rule([item], "Tell me: who mapped the reefs of Tamsoor first?") == "verbatim"
    full = "Who mapped the reefs of Tamsoor first? (1) Ida (2) Olm (3) Per (4) Una"
    assert [(hit.rule, hit.share, hit.end) for hit in found([item], full)] == [
        ("near", 1.0, len(full))
    ]


def test_an_item_may_have_several_texts_and_a_text_several_items() -> None:
    twice = [Item("code", "7", LAMP.text), Item("code", "7", BAKER.text), LAMP]
    hits = found(twice, LAMP.text + "\n" + BAKER.text, BAKER.text)
    assert [(hit.benchmark, hit.item, hit.turn) for hit in hits] == [
        ("code", "7", 1),
        ("nq", "1", 1),
        ("code", "7", 2),
    ]


def test_texts_without_words_and_endless_texts() -> None:
    items = [Item("nq", "0", ""), Item("nq", "1", "?!", ("", "")), LAMP]
    guard = pickle.loads(pickle.dumps(Contamination(items)))
    odd = [
        "",
        "\ud800",
        "?",
        "…" * 99,
        "the last lamp " * 40_000,
        "a" * 10**6,
        f"{LAMP.text}. " * 3,
    ]
    hits = guard.hits([said(text, text) for text in odd])
    assert [len(of_one) for of_one in hits] == [0, 0, 0, 0, 0, 0, 2]
    assert guard.hits([]) == []
    assert guard.hits([said()]) == [[]]
    assert Contamination([]).hits([said("Good day to you")]) == [[]]
    assert Contamination([Item("nq", "0", "")]).hits([said("", "Good day")]) == [[]]


def test_an_item_of_any_length_is_found() -> None:
    rng = random.Random(3)
    long = Item("mmlu", "1", " ".join(rng.choice(WORDS) + str(i % 7) for i in range(5000)))
    (hit,) = found([long], f"Read this. {long.text} And then?")
    assert (hit.rule, hit.share) == ("verbatim", 1.0)


def test_table_of_hits() -> None:
    rows = [
        {"benchmark": name, "item": item, "dialogue": dialogue, "rule": rule}
        for name, item, dialogue, rule in [
            ("nq", "1", "a", "near"),
            ("nq", "1", "b", "verbatim"),
            ("nq", "2", "b", "verbatim"),
            ("mmlu", "x/1", "a", "n-gram"),
        ]
    ]
    assert table_of_hits(rows) == {
        "mmlu": {"hits": 1, "rules": {"n-gram": 1}, "items": 1, "dialogues": 1},
        "nq": {"hits": 3, "rules": {"near": 1, "verbatim": 2}, "items": 2, "dialogues": 2},
    }
    assert table_of_hits([]) == {}


# Planted items


def altered(text: str, kind: str, rng: random.Random, filler: Callable[[], str]) -> str:
    """The text as it might have slipped into a data set."""
    if kind == "recased":
        marks = re.sub(r"(?<!\d)[?!.,;:](?!\d)", lambda _: rng.choice(["", "!", " ..."]), text)
        return rng.choice([str.upper, str.lower, str.title])(marks)
    if kind == "inserted":
        return re.sub(
            r"\S+",
            lambda word: (
                word[0] + (f" {rng.choice(INSERTED.split())}" if rng.random() < 1 / 6 else "")
            ),
            text,
        )
    return f"{filler()}\n\n{text}\n\n{filler()}" if kind == "embedded" else text


def shown(item: Item, rng: random.Random) -> str:
    """The item as it is put to people: with its options, in one of three manners, or without."""
    manners = [("A. ", "\n"), ("(A) ", " "), ("1) ", "\n")]
    if not item.options or rng.random() < 0.5:
        return item.text
    mark, end = rng.choice(manners)
    marks = ["".join(chr(ord(c) + n) if c.isalnum() else c for c in mark) for n in range(4)]
    offered = (m + text + end for m, text in zip(marks, item.options, strict=True))
    return f"{item.text.strip()}\n{''.join(offered)}"


def planted(
    dialogues: list[Dialogue], items: list[Item], each: int, rng: random.Random
) -> dict[int, tuple[str, Item]]:
    """Put `each` items of every kind of change into dialogues, in turns of their own."""
    by_benchmark: dict[str, dict[str, Item]] = {}
    for item in items:
        by_benchmark.setdefault(item.benchmark, {}).setdefault(item.id, item)
    clean = list(dialogues)

    def filler() -> str:
        return rng.choice(rng.choice(clean).turns).content[:1500]

    places = iter(rng.sample(range(len(dialogues)), len(KINDS) * each))
    planted = {}
    for kind in KINDS:
        for number in range(each):
            names = sorted(by_benchmark)
            item = rng.choice(list(by_benchmark[names[number % len(names)]].values()))
            place = next(places)
            turns = [turn.model_copy() for turn in dialogues[place].turns]
            rng.choice(turns).content = altered(shown(item, rng), kind, rng, filler)
            dialogues[place] = dialogues[place].model_copy(update={"turns": turns})
            planted[place] = (kind, item)
    return planted


def check_planted(
    dialogues: list[Dialogue], items: list[Item], each: int, most_false: int, seed: int
) -> None:
    rng = random.Random(seed)
    there = planted(dialogues, items, each, rng)
    guard = Contamination(items)
    hits = [h for a in range(0, len(dialogues), 2000) for h in guard.hits(dialogues[a : a + 2000])]
    missed = [
        (kind, item)
        for place, (kind, item) in there.items()
        if not any((hit.benchmark, hit.item) == (item.benchmark, item.id) for hit in hits[place])
    ]
    hardly = [pair for pair in missed if pair[0] in ("inserted", "embedded")]
    false = [hit for place, of_one in enumerate(hits) if place not in there for hit in of_one]
    assert len(hardly) <= 0.05 * 2 * each, hardly
    assert missed == hardly
    assert len(false) <= most_false, false
    # What is found depends on the dialogue alone.
    some = sorted(there)[:20]
    assert [guard.hits([dialogues[place]])[0] for place in some] == [hits[p] for p in some]


NOUNS = (
    "river stone lantern harbour window copper violin orchard winter captain mirror bridge garden "
    "thunder pepper candle feather hammer island journey kettle ladder market needle ocean parcel "
    "quarry ribbon saddle tunnel umbrella village whistle yellow zebra anchor basket cabin desert "
    "engine forest glacier hollow ivory jungle kingdom lemon meadow nickel olive painter quiet"
)
LINKS = "the a of to in with and from over under near before after is was has for on by"
WORDS = NOUNS.split()


def sentences(rng: random.Random, words: int) -> str:
    """Words that mean nothing together, about as common as in English."""
    links = LINKS.split()
    chosen = (rng.choice(links if rng.random() < 0.5 else WORDS) for _ in range(words))
    return " ".join(chosen).capitalize() + "."


def own_items(rng: random.Random) -> Iterator[Item]:
    for number in range(150):
        names = [f"{a}{b}".title() for a, b in zip(rng.sample(WORDS, 2), "ox", strict=True)]
        asked = f"in which {rng.choice(WORDS)} did {names[0]} meet {names[1]} and the "
        yield Item("nq", f"nq/{number}", asked + f"{rng.choice(WORDS)} of {rng.choice(WORDS)}")
        options = tuple(sentences(rng, 4) for _ in "ABCD")
        yield Item("mmlu", f"own/{number}", sentences(rng, rng.randint(9, 90)), options)
        price, count = rng.randint(2, 99), rng.randint(2, 99)
        task = f"{names[0]} buys {count} {rng.choice(WORDS)}s for {price} crowns each and pays with"
        task += f" {price * count + rng.randint(1, 50)} crowns. How many crowns come back?"
        yield Item("gsm8k", f"gsm8k/{number}", task)
        name = "_".join(rng.sample(WORDS, 2))
        head = f'def {name}(s: str) -> int:\n    """{sentences(rng, 25)}\n    >>> {name}("")\n    0'
        yield Item("humaneval", f"HumanEval/{number}", f'{head}\n    """\n')


def test_planted_items_are_found() -> None:
    rng = random.Random(0)
    dialogues = [
        said(sentences(rng, rng.randint(3, 60)), sentences(rng, rng.randint(5, 200)), id=str(n))
        for n in range(3000)
    ]
    check_planted(dialogues, list(own_items(rng)), 50, 0, 1)


def read(path: Path) -> Any:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path) as file:
        return json.load(file) if ".json" in path.suffixes else [json.loads(x) for x in file]


def real_pairs(data: Path) -> list[tuple[str, str]]:
    pairs = []
    for path in [*sorted((data / "gpteacher").glob("*.gz")), data / "alpaca_en_demo.json"]:
        for row in read(path):
            answer = row["response"] if "response" in row else row["output"]
            pairs.append((f"{row['instruction']}\n{row['input']}".strip(), answer))
    for path in sorted((data / "alpaca_eval").glob("*.model_outputs.json.gz")):
        pairs += [(row["instruction"], row["output"]) for row in read(path)]
    return pairs


@pytest.mark.realdata
@pytest.mark.parametrize("seed", range(3))
def test_planted_items_are_found_in_published_sets(realdata: Path, seed: int) -> None:
    """Without planted items these sets hold none; see docs/curate.md."""
    gsm8k = read(realdata / "gsm8k" / "test.jsonl")
    items = benchmark_items(["mmlu", "nq", "humaneval"], realdata, [])
    items += [Item("gsm8k", str(n), row["question"]) for n, row in enumerate(gsm8k, start=1)]
    rng = random.Random(seed)
    pairs = real_pairs(realdata)
    rng.shuffle(pairs)
    pairs += rng.sample(pairs, 20_000 - len(pairs))
    dialogues = [said(*pair, *(rng.choice(pairs) if rng.random() < 0.25 else ())) for pair in pairs]
    check_planted(dialogues, items, 50, 5, seed)


@pytest.mark.realdata
def test_tasks_of_one_make_are_told_apart(realdata: Path) -> None:
    """GSM8K's train and test items were written alike, and GPT-3's rule takes four for copies."""
    test = read(realdata / "gsm8k" / "test.jsonl")
    train = read(realdata / "gsm8k" / "train.jsonl.gz")
    guard = Contamination([Item("gsm8k", str(n), row["question"]) for n, row in enumerate(test)])
    assert not any(guard.hits([said(row["question"], row["answer"]) for row in train]))
    own = guard.hits([said(row["question"]) for row in test])
    assert [[hit.item for hit in hits] for hits in own] == [[str(n)] for n in range(len(test))]
