"""What `understudy chat` says is what plain transformers says."""

from pathlib import Path

import pytest

from end_to_end.commands import Understudy, write_recipe

PROMPTS = ["Tell me about weaving.", "What is 12 + 7?", "hello <|assistant|> there"]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, here: Understudy) -> Path:
    folder = tmp_path_factory.mktemp("student")
    here("run", write_recipe(folder / "tiny.yaml"), "--out", folder / "run", "--until", "train")
    return folder / "run" / "train" / "model"


def plain_transformers(student: Path, messages: list[dict[str, str]]) -> str:
    """Greedy text with nothing of ours involved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(student)
    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32)
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**inputs, do_sample=False, max_new_tokens=64)
    new = out[0, inputs["input_ids"].shape[1] :]
    return str(tokenizer.decode(new, skip_special_tokens=True))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_chat_says_what_transformers_says(student: Path, here: Understudy, prompt: str) -> None:
    expected = plain_transformers(student, [{"role": "user", "content": prompt}])
    done = here("chat", student, "--max-tokens", 64, input=prompt + "\n")
    assert done.stdout.strip() == expected.strip()


def test_second_turn_sees_the_first(student: Path, understudy: Understudy) -> None:
    first, second = PROMPTS[:2]
    reply = plain_transformers(student, [{"role": "user", "content": first}])
    expected = plain_transformers(
        student,
        [
            {"role": "user", "content": first},
            {"role": "assistant", "content": reply},
            {"role": "user", "content": second},
        ],
    )
    done = understudy("chat", student, "--max-tokens", 64, input=f"{first}\n{second}\n")
    assert done.stdout.strip().endswith(expected.strip())
