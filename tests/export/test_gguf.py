"""A GGUF file holds the model: its weights, its shape, and what people should know."""

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from export.gguf_models import CONFIGS, halved, make
from train.tiny_models import CHATML, build_model, gpt2_like
from understudy.errors import UserError
from understudy.export.gguf import QUANTS, write_gguf
from understudy.export.gguf_read import load_gguf

LONGER = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
ABOUT = {"name": "pip", "license": "apache-2.0", "source": "the world", "author": ""}


def metadata(file: Path) -> dict[str, Any]:
    """What the package's own reader finds."""
    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}


def precisions(file: Path) -> dict[str, str]:
    return {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors}


@pytest.mark.parametrize("family", CONFIGS)
def test_half_precision_is_exact(family: str, tmp_path: Path) -> None:
    model = halved(make(tmp_path, family))
    write_gguf(tmp_path, tmp_path / "m.gguf", "f16", {})
    read, _ = load_gguf(tmp_path / "m.gguf")
    own = dict(read.named_parameters())
    for name, weight in model.named_parameters():
        assert torch.equal(own[name], weight), name
    ids = torch.arange(90)[None]
    with torch.inference_mode():
        assert torch.allclose(read(ids).logits, model(ids).logits, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "gpt2"])
def test_transformers_reads_the_same(family: str, tmp_path: Path) -> None:
    model = halved(make(tmp_path, family))
    write_gguf(tmp_path, tmp_path / "m.gguf", "f16", {})
    read = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32)
    own = dict(read.named_parameters())
    assert all(torch.equal(own[name], weight) for name, weight in model.named_parameters())


@pytest.mark.parametrize(("quant", "steps"), [("q8_0", 127), ("q4_0", 8)])
@pytest.mark.parametrize("family", ["llama", "gpt2, untied"])
def test_quantised_weights_are_near(family: str, quant: str, steps: int, tmp_path: Path) -> None:
    """Within one step of a block's scale: the block's largest weight by so many steps."""
    model = make(tmp_path, family)
    write_gguf(tmp_path, tmp_path / "m.gguf", quant, {})
    own = dict(load_gguf(tmp_path / "m.gguf")[0].named_parameters())
    for name, weight in model.named_parameters():
        error = (own[name] - weight).abs()
        if weight.ndim == 1 or "wpe" in name:
            assert error.max() == 0, name
            continue
        turned = family.startswith("gpt2") and ".h." in name
        error, weight = (one.T if turned else one for one in (error, weight))
        largest = weight.reshape(-1, 32).abs().amax(-1, keepdim=True)
        assert (error.reshape(-1, 32) <= 1.01 * largest / steps).all(), name
        assert error.max() > 0, name


def test_the_head_of_four_bits_has_eight(tmp_path: Path) -> None:
    make(tmp_path / "own", "llama")
    make(tmp_path / "tied", "llama, tied")
    for folder in ("own", "tied"):
        write_gguf(tmp_path / folder, tmp_path / f"{folder}.gguf", "q4_0", {})
    own, tied = (precisions(tmp_path / f"{folder}.gguf") for folder in ("own", "tied"))
    assert (own["output.weight"], own["token_embd.weight"]) == ("Q8_0", "Q4_0")
    assert "output.weight" not in tied
    assert tied["token_embd.weight"] == "Q8_0"
    assert own["blk.1.ffn_down.weight"] == "Q4_0"
    assert own["blk.1.ffn_norm.weight"] == "F32"


def test_rows_that_cannot_be_cut_into_blocks_stay_at_half_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {**CONFIGS["llama"].to_dict(), "intermediate_size": 80}
    monkeypatch.setitem(CONFIGS, "llama", type(CONFIGS["llama"])(**odd))
    make(tmp_path, "llama")
    facts = write_gguf(tmp_path, tmp_path / "m.gguf", "q4_0", {})
    assert precisions(tmp_path / "m.gguf")["blk.0.ffn_down.weight"] == "F16"
    assert facts["tensors"] == {"Q4_0": 13, "F16": 2, "F32": 5, "Q8_0": 1}
    assert facts["notes"] == ["2 matrices, whose rows cannot be cut into blocks, have 16 bits"]
    load_gguf(tmp_path / "m.gguf")


def test_what_the_file_says(tmp_path: Path) -> None:
    model = make(tmp_path, "llama", "starcoder", spare=7)
    sizes = {}
    for quant in QUANTS:
        facts = write_gguf(tmp_path, tmp_path / f"{quant}.gguf", quant, ABOUT)
        assert facts["bytes"] == (tmp_path / f"{quant}.gguf").stat().st_size
        sizes[quant] = facts["bytes"]
    assert sizes["f16"] > sizes["q8_0"] > sizes["q4_0"]
    assert facts["architecture"] == "llama"
    assert facts["parameters"] == model.num_parameters()
    found, rows = metadata(tmp_path / "q4_0.gguf"), model.config.vocab_size
    wanted = {
        "general.name": "pip",
        "general.license": "apache-2.0",
        "general.source": "the world",
        "general.file_type": 2,
        "general.quantization_version": 2,
        "llama.context_length": 128,
        "llama.rope.dimension_count": 16,
        "llama.attention.head_count_kv": 2,
        "llama.vocab_size": rows,
        "tokenizer.chat_template": CHATML,
        "tokenizer.ggml.add_bos_token": True,
    }
    assert {key: found.get(key) for key in wanted} == wanted
    assert "general.author" not in found  # it was empty
    assert len(found["tokenizer.ggml.tokens"]) == rows
    assert found["tokenizer.ggml.token_type"][-7:] == [5] * 7  # unused


def test_a_window_of_attention_is_all_the_context(tmp_path: Path) -> None:
    make(tmp_path, "mistral")
    facts = write_gguf(tmp_path, tmp_path / "m.gguf", "f16", {})
    assert facts["context"] == metadata(tmp_path / "m.gguf")["llama.context_length"] == 100
    assert "window" in facts["notes"][0]


def test_lora_factors_are_merged(tmp_path: Path) -> None:
    base = make(tmp_path / "base", "llama")
    settings = LoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), settings)
    model.save_pretrained(tmp_path / "factors")
    gpt2_like().save_pretrained(tmp_path / "factors")
    write_gguf(tmp_path / "factors", tmp_path / "m.gguf", "f16", {})
    read = dict(load_gguf(tmp_path / "m.gguf")[0].named_parameters())
    for name, weight in halved(model.merge_and_unload()).named_parameters():
        assert torch.equal(read[name], weight), name
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.allclose(read[name], base.get_parameter(name), atol=1e-2)


def changed(family: str, **changes: Any) -> Any:
    return type(CONFIGS[family])(**{**CONFIGS[family].to_dict(), **changes})


@pytest.mark.parametrize(
    ("family", "changes", "told"),
    [
        ("llama", {"hidden_act": "gelu"}, "has no hidden_act 'gelu'"),
        ("llama", {"rope_parameters": LONGER}, "has no rope_type 'dynamic'"),
        ("qwen2", {"rope_parameters": CONFIGS["llama 3"].rope_parameters}, "'llama3'"),
        ("gpt2", {"activation_function": "relu"}, "'relu'"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "has no scale_attn_by_inverse"),
    ],
)
def test_what_llama_cpp_cannot_compute_is_refused(
    family: str, changes: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CONFIGS, family, changed(family, **changes))
    make(tmp_path, family)
    with pytest.raises(UserError, match=told):
        write_gguf(tmp_path, tmp_path / "m.gguf", "f16", {})


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    build_model("phi").save_pretrained(tmp_path)
    gpt2_like().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="a phi model cannot be written as GGUF here; what can is"):
        write_gguf(tmp_path, tmp_path / "m.gguf", "f16", {})
    with pytest.raises(UserError, match="--quant q2_k: no such kind; choose from f16, q8_0, q4_0"):
        write_gguf(tmp_path, tmp_path / "m.gguf", "q2_k", {})


def test_weights_that_no_file_can_hold_leave_the_earlier_file(tmp_path: Path) -> None:
    model = make(tmp_path, "llama")
    write_gguf(tmp_path, tmp_path / "m.gguf", "f16", {})
    before = (tmp_path / "m.gguf").read_bytes()
    with torch.no_grad():
        model.lm_head.weight[3, 5] = 7e4
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"output\.weight: has weights that are not finite"):
        write_gguf(tmp_path, tmp_path / "m.gguf", "q4_0", {})
    assert (tmp_path / "m.gguf").read_bytes() == before
    assert not list(tmp_path.glob(".*"))
