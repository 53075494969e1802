"""What is known of licences and teachers, and what follows from it for a whole set."""

import pytest

from understudy.curate.terms import binding, licence_terms, on_the_hub, teacher_terms


@pytest.mark.parametrize(
    ("name", "of", "commercial"),
    [
        ("gpt-4", "OpenAI", "barred"),
        ("openai/gpt-3.5-turbo-0301", "OpenAI", "barred"),
        ("text_davinci_003", "OpenAI", "barred"),
        ("ChatGPT", "OpenAI", "barred"),
        ("o1-mini", "OpenAI", "barred"),
        ("anthropic/claude-3-opus", "Anthropic", "barred"),
        ("bard", "Google", "barred"),
        ("gemini-1.5-pro", "Google", "barred"),
        ("bing", "Microsoft", "barred"),
        ("gemma-2-27b-it", "Google (Gemma)", "free"),
        ("meta-llama/Llama-2-70b-chat-hf", "Meta (Llama 2 and 3)", "barred"),
        ("Meta-Llama-3-8B-Instruct", "Meta (Llama 2 and 3)", "barred"),
        ("Meta-Llama-3.1-405B-Instruct", "Meta (Llama 3.1 and later)", "free"),
        ("llama-4-scout", "Meta (Llama 3.1 and later)", "free"),
        ("llama-13b", "Meta (the first LLaMA)", "barred"),
        ("LLaMA-65B", "Meta (the first LLaMA)", "barred"),
        ("vicuna-7b", "students of ChatGPT on LLaMA", "barred"),
        ("gpt4all-lora", "students of ChatGPT on LLaMA", "barred"),
        ("deepseek-ai/DeepSeek-R1", "DeepSeek", "free"),
        ("mixtral-8x7b-instruct", "Mistral AI (Apache-2.0 weights)", "free"),
        ("mistral-large-2407", "Mistral AI", "not known"),
        ("Qwen2.5-72B-Instruct", "Alibaba (Qwen under its own licences)", "not known"),
        ("Qwen/Qwen2.5-7B-Instruct", "Alibaba (Qwen under Apache-2.0)", "free"),
        ("gpt-oss-20b", "open GPT-like weights", "free"),
        ("gpt2-xl", "open GPT-like weights", "free"),
        ("world-teacher", "understudy's own world", "free"),
        ("somebody-else", "no known teacher", "not known"),
        ("unknown", "no known teacher", "not known"),
        ("", "no known teacher", "not known"),
    ],
)
def test_a_teacher_is_known_by_its_name(name: str, of: str, commercial: str) -> None:
    found = teacher_terms(name)
    assert (found.of, found.commercial) == (of, commercial)


@pytest.mark.parametrize(
    ("name", "asks", "commercial"),
    [
        ("cc-by-4.0", "attribution", "free"),
        ("CC BY-NC 4.0", "attribution, non-commercial", "barred"),
        ("cc-by-sa-3.0", "attribution, share-alike", "free"),
        ("cc-by-nc-sa-4.0", "attribution, non-commercial, share-alike", "barred"),
        ("cc-by-nd-4.0", "attribution, no derivatives", "not known"),
        ("cc0-1.0", "nothing", "free"),
        ("Apache-2.0", "attribution", "free"),
        ("gpl-3.0", "share-alike", "free"),
        ("some-noncommercial-licence", "non-commercial", "barred"),
        ("acme-research-1.0", "non-commercial", "barred"),
    ],
)
def test_a_licence_is_known_by_its_name_or_shape(name: str, asks: str, commercial: str) -> None:
    found = licence_terms(name)
    assert (found.asks, found.commercial) == (asks, commercial)


@pytest.mark.parametrize(
    "name", ["unknown", "other", "", "free for all", "cc", "cc-by-x", "x" * 500]
)
def test_what_is_not_known_is_no_permission(name: str) -> None:
    assert licence_terms(name).commercial == "not known"


def test_a_models_own_licence_is_read_as_the_models_terms() -> None:
    assert licence_terms("llama3.1") == teacher_terms("llama-3.1-8b")
    assert licence_terms("llama2").commercial == "barred"
    assert licence_terms("gemma").of == "Google (Gemma)"


def test_the_hubs_names() -> None:
    assert on_the_hub("mit")
    assert on_the_hub("cc-by-nc-sa-4.0")
    assert not on_the_hub("cc-by")
    assert not on_the_hub("cc-by-4.0-de")
    assert not on_the_hub("other")


def test_a_bar_outweighs_what_is_not_known_and_that_a_permission() -> None:
    free = binding({"mit": 3}, {"world-teacher": 3}, [])
    assert free["commercial"] == "not barred by what is known"
    unknown = binding({"mit": 2, "unknown": 1}, {"world-teacher": 3}, [])
    assert unknown["commercial"] == "not known: no known licence (1 dialogue)"
    barred = binding({"unknown": 3, "cc-by-nc-4.0": 1}, {"gpt-4": 2, "gpt-3.5-turbo": 2}, [])
    assert barred["commercial"].startswith("barred: cc-by-nc-4.0 (1 dialogue): ")
    assert "OpenAI (4 dialogues): its models' output may not" in barred["commercial"]


def test_no_dialogues_no_permission() -> None:
    assert binding({}, {}, [])["commercial"] == "not known: there are no dialogues"


def test_a_format_tells_whose_answers_it_usually_holds() -> None:
    found = binding({"unknown": 9}, {"unknown": 9}, ["sharegpt"])
    assert "usually hold answers of ChatGPT" in found["commercial"]
    named = binding({"unknown": 9}, {"gemma-2": 9}, ["sharegpt"])
    assert "usually" not in named["commercial"]


def test_names_of_one_document_stand_together_and_are_bounded() -> None:
    teachers = {f"gpt-4-{number:04}": number for number in range(1000)}
    strangers = {"z" * 500 + str(number): 1 for number in range(50)}
    found = binding({}, teachers | strangers, [])
    openai, nobody = found["teachers"]
    assert openai["dialogues"] == sum(teachers.values())
    assert openai["names"][0] == "gpt-4-0999"
    assert openai["names"][-1] == "988 others"
    assert nobody["dialogues"] == 50
    assert all(len(name) <= 80 for name in nobody["names"])
    assert len(found["commercial"]) < 1000
