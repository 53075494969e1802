"""bespoke curator asks the prompts: curator.LLM with its backend "openai", the faster of the two.

Settings, of what its documentation offers ("Online processing", "API reference"):

- `max_requests_per_minute`, `max_tokens_per_minute`: so high that they never hold a call back; the
  defaults are 200 and 100,000. (It counts 4,096 tokens for the answer of a model unknown to it.)
- `max_concurrent_requests`: unset, so that nothing waits. Of 5,000 calls the server saw 900 a
  second; 876 with 128, 695 with 256 and 841 with 512 at once.
- backend "litellm" was slower: 220 a second of 300 calls.
- CURATOR_DISABLE_RICH_DISPLAY would be slower: 477 a second of 1,000 calls, against 891.
- TELEMETRY_ENABLED=false, and CURATOR_VIEWER unset: nothing leaves the machine. Its tokenizer is
  fetched from the network unless found: litellm's package, which it requires, has it.

    .peers/curator/bin/python benchmarks/peers/run_curator.py PROMPTS BASE_URL OUT
"""

import argparse
import importlib.util
import json
import os
from pathlib import Path


def ask(prompts: list[str], base_url: str, out: Path) -> int:
    from bespokelabs import curator

    llm = curator.LLM(
        model_name="bench",
        backend="openai",
        backend_params={
            "base_url": base_url,
            "api_key": "none",
            "max_requests_per_minute": 10**7,
            "max_tokens_per_minute": 10**12,
        },
    )
    found = llm(prompts, working_dir=str(out))
    return sum(bool(text) for text in found.dataset["response"])


def packaged_tokenizers() -> str:
    litellm = importlib.util.find_spec("litellm")
    assert litellm is not None
    assert litellm.origin is not None
    return str(Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("prompts", type=Path)
    parser.add_argument("base_url")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    # Before the import, which reads them: caches in the run's folder, no hub, no telemetry.
    os.environ |= {
        "HOME": str(arguments.out),
        "HF_HUB_OFFLINE": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "TELEMETRY_ENABLED": "false",
        "TIKTOKEN_CACHE_DIR": packaged_tokenizers(),
    }
    with arguments.prompts.open() as lines:
        prompts = [json.loads(line)["prompt"] for line in lines]
    print(json.dumps({"answers": ask(prompts, arguments.base_url, arguments.out)}))
