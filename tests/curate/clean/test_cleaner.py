"""The steps together: what is mended, what is dropped, and in which order."""

import subprocess
import sys
from pathlib import Path

import pytest

from curate.clean.talk import dialogue
from understudy.curate.clean import Cleaner
from understudy.curate.readers import read_file
from understudy.recipe import CleanSettings


def test_a_clean_dialogue_is_itself() -> None:
    whole = dialogue("sua", "Be kind.", "How are you?", "Fine, thank you.")
    cleaned = Cleaner(CleanSettings()).clean(whole)
    assert cleaned.parts[0] is whole
    assert (cleaned.reason, dict(cleaned.edits), cleaned.tokens) == (None, {}, [])


def test_every_step_has_its_turn() -> None:
    messy = dialogue(
        "auauu",
        "Hi!",
        "1 / 2\nWho is bo@posteo.net, please?",
        "<p>My friend from the caf\u00c3\u00a9, bo@posteo.net &amp; al@posteo.net</p>",
        "Thanks",
        "Bye",
    )
    cleaned = Cleaner(CleanSettings()).clean(messy)
    assert [turn.content for turn in cleaned.parts[0].turns] == [
        "Who is [email], please?",
        "My friend from the café, [email] & [email 2]",
    ]
    assert cleaned.edits == {
        "characters": 1,
        "markup": 1,
        "residue": 1,
        "trimmed": 1,
        "masked email": 3,
    }


@pytest.mark.parametrize(
    ("answer", "change", "reason"),
    [
        ("I am ChatGPT.", {"identity": "drop"}, "identity"),
        ("I am ChatGPT.", {"identity": "keep"}, None),
        ("I am ChatGPT.", {"identity": "rewrite"}, None),
        ("Als Sprachmodell weiß ich das nicht.", {"identity": "rewrite"}, "identity"),
        ("I'm sorry, but I can't help with that.", {}, None),
        ("I'm sorry, but I can't help with that.", {"refusals": "drop"}, "refusal"),
        ("Das ist eine schöne Frage, und ich weiß es.", {"languages": ["en"]}, "language"),
        ("\x00\x01", {}, "empty_answer"),
        ("<p></p>", {}, "empty_answer"),
    ],
)
def test_reasons(answer: str, change: dict[str, object], reason: str | None) -> None:
    settings = CleanSettings.model_validate(change)
    cleaned = Cleaner(settings).clean(dialogue("ua", "Wer? Who?", answer))
    assert cleaned.reason == reason
    assert bool(cleaned.parts) == (reason is None)
    assert bool(cleaned.detail) == (reason is not None)


def test_steps_can_be_switched_off() -> None:
    text = "<p>caf\u00c3\u00a9 bo@posteo.net</p>\nRegenerate response"
    settings = CleanSettings(markup=False, characters=False, residue=False, private="keep")
    whole = dialogue("ua", "?", text)
    assert Cleaner(settings).clean(whole).parts[0] is whole


def test_rewriting_touches_answers_alone() -> None:
    settings = CleanSettings(identity="rewrite", name="Ada")
    cleaned = Cleaner(settings).clean(dialogue("ua", "I am ChatGPT, and you?", "I am ChatGPT too."))
    assert [turn.content for turn in cleaned.parts[0].turns] == [
        "I am ChatGPT, and you?",
        "I am Ada too.",
    ]
    assert cleaned.edits == {"identity rewritten": 1}


def test_a_worker_needs_no_torch() -> None:
    code = (
        "import sys; from understudy.curate.clean import Cleaner; "
        "from understudy.recipe import CleanSettings; Cleaner(CleanSettings(languages=['en'])); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.realdata
def test_published_files(realdata: Path) -> None:
    """What was looked at by eye: all leaks are true, all mended characters were broken."""
    edits, reasons = {}, {}
    for name in ("alpaca_en_demo.json", "gpteacher/codegen-instruct.json.gz"):
        cleaner = Cleaner(CleanSettings(identity="drop"))
        results = [
            cleaner.clean(record.dialogue)
            for record in read_file(realdata / name)
            if record.dialogue
        ]
        edits[name] = sum((result.edits for result in results), start=results[0].edits)
        reasons[name] = sum(result.reason == "identity" for result in results)
    assert reasons == {"alpaca_en_demo.json": 8, "gpteacher/codegen-instruct.json.gz": 0}
    assert edits["gpteacher/codegen-instruct.json.gz"]["characters"] == 3
    assert not edits["gpteacher/codegen-instruct.json.gz"]["markup"]
