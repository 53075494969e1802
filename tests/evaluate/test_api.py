"""A teacher over its API: how it is asked, what it costs, and what its replies count for."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from teacher.scripted import Said, Scripted, completion, scripted
from understudy.dialogue import Turn
from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import (
    Benchmark,
    ChoiceItem,
    CodeItem,
    Extract,
    Item,
    Kind,
    PerplexityItem,
    ShortItem,
    ToxicityItem,
)
from understudy.evaluate.engines import Pick, Program, Reply, Sampling
from understudy.evaluate.engines.api import ApiEngine
from understudy.evaluate.engines.replies import option_in
from understudy.prompts import Prompt
from understudy.recipe import BudgetSettings, Prices
from understudy.teacher.estimate import estimate
from understudy.teacher.ledger import Ledger

PRICES = Prices(input=1000, output=1000)  # an answer of 3 + 2 tokens costs $0.005
CITIES = ("Paris", "London", "Rome", "Paris, Texas")
GREEDY = Sampling()


def benchmark(kind: Kind, **more: Any) -> Benchmark:
    return Benchmark("own", kind, ("score",), 0, None, lambda *_: [], **more)


def choice(question: str, options: tuple[str, ...] = CITIES) -> ChoiceItem:
    raw = f"Some examples.\n\n{question}\nAnswer:"
    letters = tuple(f" {letter}" for letter in "ABCDEFGHIJ"[: len(options)])
    return ChoiceItem(question, None, question, options, (0,), raw, letters)


def short(question: str) -> ShortItem:
    return ShortItem(question, None, question, ("x",), f"Q: {question}\nA:")


ADD = CodeItem("add", None, 'import math\n\n\ndef add(a, b):\n    """Sum."""\n', "add", "")
CHOICES = benchmark("choice")


def asked(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"])


def answer(choice: dict[str, Any]) -> Said:
    """An answer of one choice, without usage."""
    return Said(body=json.dumps({"choices": [{"finish_reason": "stop", **choice}]}).encode())


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[ApiEngine, Scripted]]]:
    """An engine whose teacher's replies a function of the body gives; the ledger stays the same."""
    open_servers = []

    def start(
        reply: Callable[[dict[str, Any]], Said | str],
        top_logprobs: int | None = None,
        budget: BudgetSettings | None = None,
        **changes: Any,
    ) -> tuple[ApiEngine, Scripted]:
        def script(_: int, body: dict[str, Any]) -> Said:
            said = reply(body)
            return Said(body=completion(said)) if isinstance(said, str) else said

        manager = scripted(script)
        open_servers.append(manager)
        server = manager.__enter__()
        account = server.account(
            tmp_path / "ledger", budget or BudgetSettings(), prices=PRICES, **changes
        )
        return ApiEngine(account, top_logprobs), server

    yield start
    for manager in open_servers:
        manager.__exit__(None, None, None)


Serve = Callable[..., tuple[ApiEngine, Scripted]]


# What is asked


def test_choices_are_asked_in_words(serve: Serve) -> None:
    replies = {"Where?": "A", "When?": "The right option is (C).", "Why?": "I cannot tell."}
    engine, server = serve(lambda body: replies[asked(body).split("\n")[0]])
    items = [choice(" Where? "), choice("When?", ("1", "2", "3")), choice("Why?")]
    picks = dict(engine.choose(CHOICES, items))
    assert [picks[index] for index in range(3)] == [
        Pick(option=0, reply="A"),
        Pick(option=2, reply="The right option is (C)."),
        Pick(option=None, reply="I cannot tell."),
    ]
    texts = sorted(map(asked, server.bodies))
    assert texts[1] == (
        "Where?\nA. Paris\nB. London\nC. Rome\nD. Paris, Texas\n\n"
        "Reply with only the letter of the right option (A, B, C or D)."
    )
    assert texts[0].endswith(
        "\nC. 3\n\nReply with only the letter of the right option (A, B or C)."
    )
    assert {body["temperature"] for body in server.bodies} == {0.0}
    assert all("logprobs" not in body for body in server.bodies)
    assert engine.prompting == "chat"


def test_short_answers_are_asked_for_by_the_form_that_they_are_read_by(serve: Serve) -> None:
    engine, server = serve(lambda body: " Six.\n")
    plain = benchmark("short", extracts=(("exact_match", Extract()),))
    (found,) = engine.answer_shortly(plain, [short("who is it")])
    assert found[1].texts == ("Six.",)
    solved = Extract(pattern=r"#### (\-?[0-9.,]+)")
    loose = Extract(pattern=r"(-?[$0-9.,]{2,})|(-?[0-9]+)", match=-1)
    strictly = benchmark("short", max_tokens=300, extracts=(("strict", solved), ("loose", loose)))
    loosely = benchmark("short", max_tokens=300, extracts=(("loose", loose),))
    for way in (strictly, loosely):
        list(engine.answer_shortly(way, [short("How many?")]))
    reasoning = "How many?\n\nShow your reasoning, and end with a line of the form: "
    assert [(asked(body), body["max_tokens"]) for body in server.bodies] == [
        ("who is it?\n\nReply with only the answer, in as few words as possible.", 64),
        (f"{reasoning}#### ANSWER", 300),
        (f"{reasoning}ANSWER", 300),
    ]


def test_samples_of_programs_are_calls_of_their_own(serve: Serve) -> None:
    whole = "Sure!\n```python\ndef add(a, b):\n    return a + b\n```\nBye."
    engine, server = serve(lambda body: whole)
    how = Sampling(samples=3, temperature=0.8, max_tokens=99, seed=5)
    ((_, found),) = engine.write_programs(benchmark("code", stop=("\ndef",)), [ADD], how)
    source = "import math\n\n\n\ndef add(a, b):\n    return a + b\n"
    assert found.programs == (Program(whole, source),) * 3
    assert len({body["seed"] for body in server.bodies}) == 3
    assert {(body["temperature"], body["max_tokens"]) for body in server.bodies} == {(0.8, 99)}
    assert all("stop" not in body for body in server.bodies)


@pytest.mark.parametrize(
    ("reply", "source"),
    [
        ("    return a + b\n", ADD.prompt + "    return a + b\n"),
        ("```\n    return a + b\n", ADD.prompt + "    return a + b\n"),
        (
            "First:\n```sh\npip add\n```\nThen:\n```python\ndef add(a, b):\n    return 1\n```",
            "import math\n\n\n\ndef add(a, b):\n    return 1\n",
        ),
    ],
)
def test_bodies_and_whole_functions_become_programs(serve: Serve, reply: str, source: str) -> None:
    engine, _ = serve(lambda body: reply)
    ((_, found),) = engine.write_programs(benchmark("code"), [ADD], GREEDY)
    assert found.programs == (Program(reply, source),)


def test_texts_are_continued(serve: Serve) -> None:
    engine, server = serve(lambda body: f" and {body['seed'] % 7} more ")
    how = Sampling(samples=2, temperature=1.0, top_p=0.9, max_tokens=20)
    found = dict(engine.go_on(["So I", "Then we"], how))
    assert [len(found[index].texts) for index in range(2)] == [2, 2]
    assert all(text and text.startswith(" and ") for text in found[0].texts)
    assert {body["top_p"] for body in server.bodies} == {0.9}
    assert asked(server.bodies[0]).startswith(
        "Continue this text. Reply with only its continuation.\n\n"
    )
    items: list[Item] = [ToxicityItem(text, None, text) for text in ("So I", "Then we")]
    requests = engine.asks(benchmark("toxicity"), items, how)
    assert estimate(engine.account, requests, None, "").calls == 0


def test_right_answers_cannot_be_weighed(serve: Serve) -> None:
    engine, server = serve(lambda body: "x")
    item = PerplexityItem("t/1", None, "Go on.", "", "It is.", "Go on.", " It is.")
    assert engine.asks(benchmark("perplexity"), [item], Sampling()) == []
    with pytest.raises(UserError, match="an API does not tell how likely a given text is; leave"):
        list(engine.read_answers(benchmark("perplexity"), [item]))
    assert server.bodies == []


def test_free_answers_are_sampled_apart(serve: Serve) -> None:
    engine, server = serve(lambda body: f"{asked(body)} {body['seed']}")
    prompts = [Prompt(id=str(i), messages=[Turn(role="user", content=f"p{i}")]) for i in range(2)]
    how = Sampling(samples=2, temperature=0.7, max_tokens=50, seed=11)
    found = engine.reply(prompts, how)
    assert [[reply.text[:2] for reply in row] for row in found] == [["p0", "p0"], ["p1", "p1"]]
    assert found[0][0] != found[0][1]
    assert len(server.bodies) == 4


def test_a_completions_teacher_is_given_raw_text(serve: Serve) -> None:
    texts = {"Some": " B\n", "Wher": " C", "Q: w": " Ann\n\nQ: ", "impo": "    x = 1\nprint(x)"}

    def go_on(body: dict[str, Any]) -> Said:
        return answer({"text": texts[body["prompt"][:4]]})

    engine, server = serve(go_on, api="completions")
    assert engine.prompting == "text"
    endings = ChoiceItem("e", None, "Where?", ("he ran", "it"), (0,), "Where", (" he ran", " it"))
    picks = dict(engine.choose(CHOICES, [choice("Where?"), endings]))
    assert [picks[0].option, picks[1].option] == [1, None]  # there is no C of two
    stop = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    ((_, words),) = engine.answer_shortly(benchmark("short", stop=("\n",)), [short("who")])
    ((_, code),) = engine.write_programs(benchmark("code", stop=stop), [ADD], GREEDY)
    assert words.texts == (" Ann",)
    assert code.programs == (Program("    x = 1", ADD.prompt + "    x = 1"),)
    assert {body["prompt"]: body.get("stop") for body in server.bodies} == {
        "Some examples.\n\nWhere?\nAnswer:": ["\n"],
        "Where?\nA. he ran\nB. it\nAnswer:": ["\n"],
        "Q: who\nA:": ["\n"],
        ADD.prompt: list(stop[:4]),
    }


# What it costs


def test_the_second_run_costs_nothing(serve: Serve) -> None:
    items = [choice(f"Question {i}?") for i in range(5)]
    engine, server = serve(lambda body: "B")
    requests = engine.asks(CHOICES, items, GREEDY)
    before = estimate(engine.account, requests, None, "listed")
    first = list(engine.choose(CHOICES, items))
    assert before.calls == len(server.bodies) == 5
    with Ledger(engine.account.ledger) as ledger:
        paid = ledger.spent("test")
    assert paid.usd == pytest.approx(5 * 0.005)
    assert engine.spent
    assert engine.spent.usd == pytest.approx(paid.usd)

    again, server = serve(lambda body: "C", budget=BudgetSettings(max_usd=0.025))
    assert list(again.choose(CHOICES, items)) == first
    assert server.bodies == []
    with Ledger(again.account.ledger) as ledger:
        assert ledger.spent("test") == paid
    assert estimate(again.account, requests, None, "listed").usd == 0


def test_what_was_answered_before_a_failure_is_not_asked_again(serve: Serve) -> None:
    items = [choice(f"Question {i}?") for i in range(4)]

    def fail_one(body: dict[str, Any]) -> Said | str:
        return Said(status=400, body=b"no such thing") if "Question 2" in asked(body) else "A"

    engine, server = serve(fail_one)
    with pytest.raises(UserError, match=r"1 of 4 requests .*no such thing.*the same command"):
        next(engine.choose(CHOICES, items))
    assert len(server.bodies) == 4
    engine, server = serve(lambda body: "B")
    assert [pick.option for _, pick in engine.choose(CHOICES, items)] == [0, 0, 1, 0]
    assert [asked(body)[:10] for body in server.bodies] == ["Question 2"]


def test_a_budget_that_ends_is_named_and_nothing_is_lost(serve: Serve) -> None:
    items = [short(f"number {i}") for i in range(3)]
    engine, server = serve(lambda body: "x", budget=BudgetSettings(max_calls=2))
    with pytest.raises(UserError, match=r"1 of 3 .*max_calls of 2 is reached.*raise it"):
        next(engine.answer_shortly(benchmark("short"), items))
    engine, more = serve(lambda body: "x", budget=BudgetSettings(max_calls=3))
    assert len(list(engine.answer_shortly(benchmark("short"), items))) == 3
    assert (len(server.bodies), len(more.bodies)) == (2, 1)


def test_a_reader_that_stops_early_has_lost_nothing(serve: Serve) -> None:
    items = [choice(f"Question {i}?") for i in range(3)]
    engine, server = serve(lambda body: "A")
    assert next(engine.choose(CHOICES, items)) == (0, Pick(option=0, reply="A"))
    assert len(list(engine.choose(CHOICES, items))) == 3
    assert len(server.bodies) == 3


def test_greedy_answers_are_shared_by_runs_of_any_seed(serve: Serve) -> None:
    engine, server = serve(lambda body: "pass")
    for seed in range(2):
        list(engine.write_programs(benchmark("code"), [ADD], Sampling(seed=seed)))
    assert len(server.bodies) == 1
    for seed in range(2):
        list(engine.write_programs(benchmark("code"), [ADD], Sampling(seed=seed, temperature=1)))
    assert len(server.bodies) == 3


def test_withheld_replies_are_told_apart(serve: Serve) -> None:
    engine, server = serve(lambda body: Said(body=completion("", "content_filter")))
    for _ in range(2):  # from the teacher, then from the ledger
        assert list(engine.choose(CHOICES, [choice("Where?")])) == [(0, Pick())]
        ((_, words),) = engine.answer_shortly(benchmark("short"), [short("who")])
        ((_, code),) = engine.write_programs(benchmark("code"), [ADD], Sampling(2, 0.5))
        assert (words.texts, code.programs) == ((None,), (None, None))
        prompt = Prompt(id="p", messages=[Turn(role="user", content="Hello")])
        assert engine.reply([prompt], GREEDY) == [[Reply("", "content_filter")]]
    assert len(server.bodies) == 5


# Log-probabilities


def likely(reply: str, *nats: tuple[str, Any]) -> Said:
    """A reply with the log-probabilities of the likeliest first tokens; its own is the first."""
    own, *_ = top = [{"token": token, "logprob": value, "bytes": None} for token, value in nats]
    content = [{**own, "top_logprobs": top}, {"token": ".", "logprob": 0.0, "top_logprobs": []}]
    return answer({"message": {"content": reply}, "logprobs": {"content": content}})


@pytest.mark.parametrize(
    ("said", "option", "nats"),
    [
        # With and without space, a letter counts once.
        (
            likely("B", ("B", -1.0), ("A", -1.2), (" A", -1.3), ("C", -4.0), ("D", -5.0)),
            0,
            (math.log(math.exp(-1.2) + math.exp(-1.3)), -1.0, -4.0, -5.0),
        ),
        (likely("B", ("B", -0.5), ("A", -1.0), ("The", -2.0)), 1, None),  # C and D are missing
        (likely(" A.", (" A", -0.1), ("B", -9999.0), ("C", -9999.0), (" D", -9.0)), 0, "all"),
        # A reply that does not open with the letter that it names is read.
        (likely("The answer is C.", ("The", -0.1), ("A", -2.0), ("B", -3.0)), 2, None),
        (likely("A city: the answer is C.", ("A", -0.1), ("B", -3.0), ("C", -4.0)), 2, None),
        (likely("I do not know.", ("I", -0.1), ("A", -2.0)), None, None),
        # What is no log-probability is none.
        (likely("B", ("B", -1.0), ("A", None), ("C", "-1"), ("D", True)), 1, None),
        (
            answer({"message": {"content": "B"}, "logprobs": {"content": ["x", {"token": 3}]}}),
            1,
            None,
        ),
        (answer({"message": {"content": "B"}, "logprobs": None}), 1, None),
    ],
)
def test_log_probabilities_decide_where_the_reply_opens_with_a_letter(
    serve: Serve, said: Said, option: int | None, nats: Any
) -> None:
    engine, server = serve(lambda body: said, top_logprobs=5)
    ((_, picked),) = engine.choose(CHOICES, [choice("Where?")])
    assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 5)
    assert picked.option == option
    if nats == "all":
        assert picked.log_likelihoods == (-0.1, -9999.0, -9999.0, -9.0)
    else:
        assert picked.log_likelihoods == (nats and pytest.approx(nats))


def test_log_probabilities_are_part_of_who_answers(serve: Serve) -> None:
    engines = [serve(lambda body: "A", top_logprobs=top)[0] for top in (None, 5)]
    assert engines[0].identity != engines[1].identity


# What replies name


@pytest.mark.parametrize(
    ("reply", "option"),
    [
        # a letter alone
        *[
            (reply, 1)
            for reply in ("B", "b", " B.", "**B**", "(b)", "`B`", "Option B", "Answer: b")
        ],
        *[(reply, 1) for reply in ("$\\boxed{B}$", "\\boxed{\\text{B}}", "<think>A?</think>\nB")],
        ("E", None),
        ("C++", None),
        ("答案是B", None),
        # an option's own words
        ("rome.", 2),
        ("Paris", 0),
        ("**Paris, Texas**", 3),
        ("The answer is “Rome”.", 2),
        ("Rome is nice", None),
        # a declared letter
        ("The correct answer is (C).", 2),
        ("The correct answer is **C**, as it is old.", 2),
        ("**The correct answer is:** C) Rome", 2),
        ("The answer to the question is therefore C.", 2),
        ("The answer is A because Paris is its capital.", 0),
        ("The answer is a) Paris", 0),
        ("My answer would be option d.", 3),
        ("I'd go with (D).", 3),
        ("It's B", 1),
        ("Option D is correct.", 3),
        ("London is large and Rome is old.\n\nAnswer: B", 1),
        ("At first sight the answer is A. But no, the answer is B.", 1),
        ("A is wrong. B is correct.", 1),
        ("The answer is A or B.", None),
        ("The answer is either A or B", None),
        ("The answer is E.", None),
        ("The answer is C++", None),
        # negations
        ("not A", None),
        ("The answer is not A", None),
        ("The answer isn't A.", None),
        ("The answer cannot be A", None),
        ("I would not choose A", None),
        ("It is not (A).", None),
        ("It cannot be A, so the answer is B.", 1),
        ("The correct option isn't A but the answer is B.", 1),
        ("The answer is B, not A.", 1),
        # a letter that opens a line
        ("C) Rome", 2),
        ("c. Rome", 2),
        ("D - Paris, Texas", 3),
        ("B. London\n\nExplanation: it is the largest.", 1),
        ("Let me think.\n\nB", 1),
        ("A. Paris is wrong.\nB. London is right.", None),
        ("(A) or (B)", None),
        ("e.g. this one", None),
        # in brackets
        ("On balance (B) then", 1),
        ("f(a) is large", None),
        ("Either (A) or else (B)", None),
        # nothing
        ("", None),
        ("A city has many houses", None),
        ("I'm sorry, I can't help with that.", None),
        ("Vitamin C is found there", None),
    ],
)
def test_a_reply_names_one_option_or_none(reply: str, option: int | None) -> None:
    assert option_in(reply, CITIES) == option


def test_only_letters_that_exist_are_options() -> None:
    ten = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    assert [option_in(reply, ten) for reply in ("J", "The answer is I.", "K")] == [9, 8, None]
    assert option_in("I think that it is three or so", ten) is None
    assert option_in("C", ("yes", "no")) is None
    assert option_in("same", ("same", "Same.")) is None
    assert option_in("Answer:", ("...", "five")) is None


def test_long_replies_are_read_in_no_time() -> None:
    for part in ("the answer is B. ", "A or ", " (", "\n", "answer "):
        option_in(part * 20_000, CITIES)
