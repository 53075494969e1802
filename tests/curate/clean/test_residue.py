"""What a site's copy leaves behind goes, where the site puts it and nowhere else."""

import pytest

from understudy.curate.clean.residue import without_residue


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("An answer.\n\nRegenerate response", "An answer."),
        ("An answer.\nStop generating\nShare Prompt\n", "An answer."),
        ("1 / 2\n\nAn answer.", "An answer."),
        ("Share Prompt\nAn answer.", "An answer."),
        ("An answer.\nCopy 123 chars / 20 words", "An answer."),
        ("123 chars / 20 words\nAn answer.", "An answer."),
        ("python\nCopy code\nprint(1)", "python\nprint(1)"),
        ("So:\n```\npythonCopy codeprint(1)\n```", "So:\n```python\nprint(1)\n```"),
        ("So:\n```\nCopy code\nprint(1)\n```", "So:\n```\nprint(1)\n```"),
        (
            "An answer.\n\nChatGPT can make mistakes. Consider checking important information.",
            "An answer.",
        ),
        (
            "An answer.\nThis content may violate our content policy. If you believe this to be in "
            "error, please submit your feedback.",
            "An answer.",
        ),
    ],
)
def test_residue_goes(text: str, clean: str) -> None:
    assert without_residue(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "Click Regenerate response to try again.",
        "Regenerate response",
        "Regenerate response\nis the button's name.",
        "The half is\n1 / 2",
        "5 / 2\nis more than two",
        "1 / 2",
        "1 / 2 + 1 / 2 = 1",
        "Use the Copy code button.",
        "It has 123 chars / 20 words in all.",
        "\n\n  indented start stays\n",
        "Stop generating\nheat, said the engineer.",
    ],
)
def test_speech_stays(text: str) -> None:
    assert without_residue(text) == text
