"""distilabel asks the prompts: one pipeline, LoadDataFromDicts into TextGeneration with OpenAILLM.

Settings, of what its documentation offers ("Execute Steps and Tasks in a Pipeline", "Assigning
resources to a Step", "Cache and recover pipeline executions"):

- `input_batch_size`: a batch is asked all at once, and the next waits for its last answer. All
  prompts are one batch: of 2,000 calls, the server saw 800 to 920 a second in one batch, 420 to 480
  in batches of 1,000, 210 to 310 of 250 and 177 of 50 (the default). The whole process takes about
  as long with any but the default, since the work is only done at other times.
- `StepResources(replicas=...)`: 2 to 4 replicas were no faster on two cores, with any batch.
- `use_cache=False`: a fresh run; the pipeline's own folder is new as well.
- DISTILABEL_LOG_LEVEL=WARNING: its default logs every HTTP request.
- versions: the newest of everything. With openai 1.59.9, current when distilabel 1.5.3 came out,
  2,000 calls in batches of 1,000 came to 116 a second, and one batch was not done within 200 s.

    .peers/distilabel/bin/python benchmarks/peers/run_distilabel.py PROMPTS BASE_URL OUT
"""

import argparse
import json
import os
from pathlib import Path


def ask(prompts: list[str], base_url: str, out: Path) -> int:
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    with Pipeline(name="bench", cache_dir=out) as pipeline:
        load = LoadDataFromDicts(
            data=[{"instruction": prompt} for prompt in prompts], batch_size=len(prompts)
        )
        generate = TextGeneration(
            llm=OpenAILLM(model="bench", base_url=base_url, api_key="none"),
            input_batch_size=len(prompts),
        )
        load >> generate
    found = pipeline.run(use_cache=False)
    return sum(bool(text) for text in found["default"]["train"]["generation"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("prompts", type=Path)
    parser.add_argument("base_url")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    # Before the import, which reads them: caches in the run's folder, no hub, few logs.
    os.environ |= {
        "HOME": str(arguments.out),
        "HF_HUB_OFFLINE": "1",
        "DISTILABEL_LOG_LEVEL": "WARNING",
    }
    with arguments.prompts.open() as lines:
        prompts = [json.loads(line)["prompt"] for line in lines]
    print(json.dumps({"answers": ask(prompts, arguments.base_url, arguments.out)}))
