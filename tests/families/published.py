"""Shapes of published models, and how many parameters each is said to have.

Shapes are those of the models' own `config.json`, in the terms of transformers. The counts are
those of the papers and model cards named beside them or, where none is, of the published weights.
"""

from typing import Any

from transformers import (
    BloomConfig,
    CohereConfig,
    Gemma2Config,
    Gemma3Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    Olmo3Config,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
    SiglipVisionConfig,
    SmolLM3Config,
    StableLmConfig,
)


def sizes(
    hidden: int, inner: int, layers: int, heads: int, kept: int, vocabulary: int, context: int
) -> dict[str, Any]:
    """A shape in the words that most configurations share; `kept` heads have keys and values."""
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kept,
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
    }


def rope(theta: float, kind: str = "default", **more: Any) -> dict[str, Any]:
    return {"rope_type": kind, "rope_theta": theta, **more}


def gpt2(hidden: int, layers: int, heads: int) -> GPT2Config:
    return GPT2Config(n_embd=hidden, n_layer=layers, n_head=heads)


def llama1(hidden: int, inner: int, layers: int, heads: int) -> LlamaConfig:
    shape = sizes(hidden, inner, layers, heads, heads, 32_000, 2048)
    return LlamaConfig(**shape, rms_norm_eps=1e-6, tie_word_embeddings=False)


def every(layers: int, full: int) -> list[str]:
    """Layers with a window, but for each `full`-th."""
    kinds = ("sliding_attention", "full_attention")
    return [kinds[(layer + 1) % full == 0] for layer in range(layers)]


# By name: the shape, and billions of parameters.
PUBLISHED: dict[str, tuple[PreTrainedConfig, float]] = {
    # Radford et al. 2019, Table 2, has 117M, 345M, 762M and 1542M; its repository's README mends
    # them to 124M, 355M, 774M and 1558M.
    "gpt2": (gpt2(768, 12, 12), 0.124),
    "gpt2-medium": (gpt2(1024, 24, 16), 0.355),
    "gpt2-large": (gpt2(1280, 36, 20), 0.774),
    "gpt2-xl": (gpt2(1600, 48, 25), 1.558),
    # Touvron et al. 2023, arXiv 2302.13971, Table 2.
    "llama-7b": (llama1(4096, 11_008, 32, 32), 6.7),
    "llama-13b": (llama1(5120, 13_824, 40, 40), 13.0),
    "llama-33b": (llama1(6656, 17_920, 60, 52), 32.5),
    "llama-65b": (llama1(8192, 22_016, 80, 64), 65.2),
    "llama-2-7b": (
        LlamaConfig(
            **sizes(4096, 11_008, 32, 32, 32, 32_000, 4096),
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
        ),
        6.74,
    ),
    "llama-3.2-1b": (  # model card: 1.23B
        LlamaConfig(
            **sizes(2048, 8192, 16, 32, 8, 128_256, 131_072),
            head_dim=64,
            tie_word_embeddings=True,
            rope_parameters=rope(
                5e5,
                "llama3",
                factor=32.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=8192,
            ),
        ),
        1.23,
    ),
    "mistral-7b-v0.1": (  # model card: 7.24B
        MistralConfig(
            **sizes(4096, 14_336, 32, 32, 8, 32_000, 32_768),
            sliding_window=4096,
            rope_parameters=rope(1e4),
            tie_word_embeddings=False,
        ),
        7.24,
    ),
    "mistral-7b-v0.3": (  # model card: 7.25B
        MistralConfig(
            **sizes(4096, 14_336, 32, 32, 8, 32_768, 32_768),
            sliding_window=None,
            rope_parameters=rope(1e6),
            tie_word_embeddings=False,
        ),
        7.25,
    ),
    "mixtral-8x7b": (  # Jiang et al. 2024, arXiv 2401.04088: 47B
        MixtralConfig(
            **sizes(4096, 14_336, 32, 32, 8, 32_000, 32_768),
            sliding_window=None,
            rope_parameters=rope(1e6),
            tie_word_embeddings=False,
        ),
        46.7,
    ),
    "qwen2.5-0.5b": (  # model card: 0.49B
        Qwen2Config(
            **sizes(896, 4864, 24, 14, 2, 151_936, 32_768),
            rope_parameters=rope(1e6),
            tie_word_embeddings=True,
            use_sliding_window=False,
            sliding_window=32_768,
        ),
        0.494,
    ),
    "qwen3-0.6b": (  # model card: 0.6B, 0.44B of them beside the embeddings
        Qwen3Config(
            **sizes(1024, 3072, 28, 16, 8, 151_936, 40_960),
            head_dim=128,
            rope_parameters=rope(1e6),
            tie_word_embeddings=True,
        ),
        0.596,
    ),
    "qwen3-30b-a3b": (  # model card: 30.5B
        Qwen3MoeConfig(
            **sizes(2048, 6144, 48, 32, 4, 151_936, 40_960),
            head_dim=128,
            moe_intermediate_size=768,
            num_experts=128,
            num_experts_per_tok=8,
            norm_topk_prob=True,
            rope_parameters=rope(1e6),
            tie_word_embeddings=False,
        ),
        30.5,
    ),
    "smollm2-135m": (  # Allal et al. 2025, arXiv 2502.02737
        LlamaConfig(
            **sizes(576, 1536, 30, 9, 3, 49_152, 8192),
            rope_parameters=rope(1e5),
            tie_word_embeddings=True,
        ),
        0.1345,
    ),
    "smollm3-3b": (  # model card: 3.08B
        SmolLM3Config(
            **sizes(2048, 11_008, 36, 16, 4, 128_256, 65_536),
            rope_parameters=rope(5e6),
            no_rope_layer_interval=4,
            tie_word_embeddings=True,
        ),
        3.08,
    ),
    "gemma-2-2b": (  # Gemma team 2024, arXiv 2408.00118, Table 2: 590M + 2,024M
        Gemma2Config(**sizes(2304, 9216, 26, 8, 4, 256_000, 8192), head_dim=256),
        2.614,
    ),
    "gemma-3-1b": (  # Gemma team 2025, arXiv 2503.19786, Table 1: 302M + 698M
        Gemma3TextConfig(
            **sizes(1152, 6912, 26, 4, 1, 262_144, 32_768),
            head_dim=256,
            sliding_window=512,
            layer_types=every(26, 6),
            rope_parameters={"sliding_attention": rope(1e4), "full_attention": rope(1e6)},
        ),
        1.0,
    ),
    "gemma-3-4b": (  # the same: 417M for images, 675M + 3,209M for text
        Gemma3Config(
            text_config=Gemma3TextConfig(
                **sizes(2560, 10_240, 34, 8, 4, 262_208, 131_072),
                head_dim=256,
                sliding_window=1024,
                layer_types=every(34, 6),
                rope_parameters={
                    "sliding_attention": rope(1e4),
                    "full_attention": rope(1e6, "linear", factor=8.0),
                },
            ),
            vision_config=SiglipVisionConfig(
                hidden_size=1152,
                intermediate_size=4304,
                num_hidden_layers=27,
                num_attention_heads=16,
                image_size=896,
                patch_size=14,
            ),
        ),
        4.3,
    ),
    "phi-2": (  # model card: 2.7B, of 2.78B in its weights
        PhiConfig(
            **sizes(2560, 10_240, 32, 32, 32, 51_200, 2048),
            rope_parameters=rope(1e4, partial_rotary_factor=0.4),
        ),
        2.78,
    ),
    "phi-3-mini-4k": (  # Abdin et al. 2024, arXiv 2404.14219: 3.8B
        Phi3Config(**sizes(3072, 8192, 32, 32, 32, 32_064, 4096), sliding_window=2047),
        3.82,
    ),
    "olmo-2-1b": (
        Olmo2Config(
            **sizes(2048, 8192, 16, 16, 16, 100_352, 4096),
            rope_parameters=rope(5e5),
            tie_word_embeddings=False,
        ),
        1.485,
    ),
    "olmo-3-7b": (
        Olmo3Config(
            **sizes(4096, 11_008, 32, 32, 32, 100_278, 65_536),
            sliding_window=4096,
            layer_types=every(32, 4),
            rope_parameters={
                "sliding_attention": rope(5e5),
                "full_attention": rope(
                    5e5,
                    "yarn",
                    factor=8.0,
                    beta_fast=32.0,
                    beta_slow=1.0,
                    original_max_position_embeddings=8192,
                    attention_factor=1.2079441541679836,
                ),
            },
            tie_word_embeddings=False,
        ),
        7.3,
    ),
    "falcon3-1b": (
        LlamaConfig(
            **sizes(2048, 8192, 18, 8, 4, 131_072, 8192),
            head_dim=256,
            rope_parameters=rope(1_000_042.0),
            tie_word_embeddings=False,
        ),
        1.67,
    ),
    # Biderman et al. 2023, arXiv 2304.01373; the model card has exact counts.
    "pythia-70m": (
        GPTNeoXConfig(
            hidden_size=512,
            intermediate_size=2048,
            num_hidden_layers=6,
            num_attention_heads=8,
            vocab_size=50_304,
            rope_parameters=rope(1e4, partial_rotary_factor=0.25),
            tie_word_embeddings=False,
        ),
        0.0704,
    ),
    "granite-3.3-2b": (
        GraniteConfig(
            **sizes(2048, 8192, 40, 32, 8, 49_159, 131_072),
            rope_parameters=rope(1e7),
            embedding_multiplier=12.0,
            attention_multiplier=0.015625,
            residual_multiplier=0.22,
            logits_scaling=8.0,
            tie_word_embeddings=True,
        ),
        2.53,
    ),
    "stablelm-2-1.6b": (  # Bellagente et al. 2024, arXiv 2402.17834
        StableLmConfig(
            **sizes(2048, 5632, 24, 32, 32, 100_352, 4096),
            rope_parameters=rope(1e4, partial_rotary_factor=0.25),
            use_qkv_bias=True,
            tie_word_embeddings=False,
        ),
        1.644,
    ),
    "command-r": (  # model card: 35B
        CohereConfig(
            **sizes(8192, 22_528, 40, 64, 64, 256_000, 131_072),
            rope_parameters=rope(8e6),
            logit_scale=0.0625,
        ),
        35.0,
    ),
    "bloom-560m": (  # model card: 559,214,592
        BloomConfig(vocab_size=250_880, hidden_size=1024, n_layer=24, n_head=16),
        0.559,
    ),
}
