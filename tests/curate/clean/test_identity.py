"""Who an answer says it is: found, left alone where others are meant, and put into other words."""

import pytest

from understudy.curate.clean.identity import leak, rewritten

AI = "an AI assistant"
PAIRS = [
    ("I am ChatGPT.", "I am an AI assistant."),
    ("Hello! I'm Claude, an AI assistant made by Anthropic. How are you?",
     "Hello! I'm an AI assistant. How are you?"),
    ("I am Claude. How can I help you?", "I am an AI assistant. How can I help you?"),
    ("My name is Gemini, and I am a large language model trained by Google.",
     "I am an AI assistant."),
    ("As an AI language model, I cannot see images.", "As an AI assistant, I cannot see images."),
    ("I'm sorry, but as a large language model trained by OpenAI, I cannot say.",
     "I'm sorry, but as an AI assistant, I cannot say."),
    ("As ChatGPT, I have read a lot.", "As an AI assistant, I have read a lot."),
    ("No, I'm just a language model created by DeepSeek.", "No, I'm just an AI assistant."),
    ("I was trained by OpenAI and I like tea.", "I was trained by my makers and I like tea."),
    ("I am an assistant that was developed by researchers from Large Model Systems Organization "
     "(LMSYS).", "I am an AI assistant."),
    ("My developers at OpenAI have not told me.", "My makers have not told me."),
    ("My creators are researchers from LMSYS.", "I am an AI assistant."),
    ("OpenAI created me in 2022.", "My makers created me in 2022."),
    ("Well, the team at Anthropic built me.", "Well, my makers built me."),
    ("I cannot, since that is against OpenAI's content policy.",
     "I cannot, since that is against my makers' content policy."),
    ("Large language models like me make mistakes.", "Assistants like me make mistakes."),
    ("I am Qwen2.5, created by Alibaba Cloud.", "I am an AI assistant."),
    ("I'm GPT-4o.", "I'm an AI assistant."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "other"), PAIRS)
def test_leaks_are_found_and_put_otherwise(text: str, other: str) -> None:
    assert leak(text)
    new = rewritten(text, AI)
    assert new == other
    assert leak(new) is None


def test_a_name_without_article_and_the_models_own() -> None:
    assert rewritten("As a language model, I know it.", "Ada") == "As Ada, I know it."
    assert rewritten("I'm ChatGPT, a chatbot.", "Vicuna") == "I'm Vicuna."


@pytest.mark.parametrize(
    "text",
    [
        "OpenAI released ChatGPT in November 2022.",
        "ChatGPT is a language model trained by OpenAI.",
        "I think ChatGPT is a powerful tool.",
        "I am not as capable as ChatGPT.",
        "Claude Monet painted water lilies; I am fond of them.",
        "I am Claude, a baker from Lyon, and I rise at three.",
        "I am a Gemini, born in June.",
        "The bard sang, and I was trained by a master swordsman.",
        "I am a language model engineer at a bank.",
        "GPT-3, as a language model, predicts words. I can show you.",
        "As an AI, I do not have feelings.",
        "I am an AI assistant and happy to help.",
        'The robot said: "I am ChatGPT, a language model."',
        "```python\nprint('I am GPT-4')\n```",
        "text = 'I am a GPT-3 AI model!'",
        "I use Google every day, and my developers at the office use Bing.",
        "Alpacas and koalas are animals. I am fond of both.",
    ],
)
def test_what_is_said_of_others_is_no_leak(text: str) -> None:
    assert leak(text) is None
    assert rewritten(text, AI) == text


@pytest.mark.parametrize(
    "text",
    [
        "作为一个AI语言模型，我无法回答。",
        "Als KI-Sprachmodell kann ich das nicht.",
        "En tant que modèle de langage, je ne peux pas.",
        "Como modelo de lenguaje, no puedo.",
    ],
)
def test_other_languages_are_found_and_not_rewritten(text: str) -> None:
    assert leak(text)
    assert rewritten(text, AI) is None
