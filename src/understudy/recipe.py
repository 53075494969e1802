"""What a recipe may say. Every setting and its default is visible here.

A recipe is one YAML file, which `recipe_file.py` reads. Relative paths in it are read from the
current directory.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """A part of a recipe: unknown keys are mistakes, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Prices(Settings):
    """US dollars per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    batch: float = Field(0.5, ge=0, description="share of these that a batched call costs")


class WaySettings(Settings):
    """Another way to the same teacher: an address or a key with rate limits of its own."""

    base_url: str
    api_key_env: str | None = None


class TeacherSettings(Settings):
    """The model to imitate. `base_url: world` starts the embedded teacher."""

    base_url: str = "world"
    model: str = "world-teacher"
    api: Literal["chat", "completions"] = Field("chat", description="completions: for base models")
    api_key_env: str | None = None
    ways: list[WaySettings] = Field([], description="used side by side with the first")
    prices: Prices | None = Field(None, description="null: from the table of known prices")
    tokenizer: str | None = Field(None, description="a folder or hub name; makes estimates exact")
    concurrency: Positive = Field(
        64, description="calls at once, at most; the teacher's pace rules"
    )
    timeout_s: float = Field(60, gt=0)
    retries: int = Field(6, ge=0)


class BudgetSettings(Settings):
    """What a recipe's calls may cost in all, over all its starts. None is no limit."""

    max_usd: float | None = Field(None, ge=0)
    max_calls: int | None = Field(None, ge=0)
    max_tokens: int | None = Field(None, ge=0, description="asked and answered together")


class WorldSettings(Settings):
    """The fictional encyclopedia behind `base: world:*`, `base_url: world`, `prompts: world:*`."""

    seed: int = 0
    people: Positive = 400
    text_tokens: Positive = Field(3_000_000, description="words of pretraining text, about")
    zipf: float = Field(0.6, ge=0, description="people are written about by rank ** -zipf")
    base_seed: int | None = Field(
        None, description="of the bases' first weights and order of text; null: seed"
    )
    manner: Literal["marked", "plain"] = Field(
        "marked", description="the teacher's; plain: as the bases' text has it"
    )
    records: Positive = Field(
        2000, description="of each published set of conversations that curate.files names"
    )
    leak: bool = Field(
        False, description="imitation prompts ask for the benchmarks' facts: a world to test with"
    )


class SelfInstructSettings(Settings):
    """The teacher invents the instructions, as for Self-Instruct and Alpaca (facts of both in
    docs/collect.md)."""

    seeds: str | None = Field(None, description="tasks in Self-Instruct's JSONL; null: our own")
    shown: Positive = Field(3, description="seed tasks in a request")
    per_request: Positive = Field(20, description="tasks in a completion, the shown ones included")
    temperature: float = Field(1.0, ge=0)
    max_tokens: Positive = 3072
    rouge: Fraction = Field(0.7, description="ROUGE-L F above which an instruction is no new one")


class LocalSettings(Settings):
    """The teacher writes pairs like the user's examples, as NQ-synthetic was made."""

    examples: str = Field(description="JSONL or CSV of pairs, or world:examples")
    shown: Positive = Field(5, description="examples in a request")
    per_request: Positive = Field(10, description="new pairs in a completion")
    temperature: float = Field(1.0, ge=0)
    max_tokens: Positive = 2048


class CollectSettings(Settings):
    """What the teacher is asked, and how."""

    prompts: str = Field(
        "world:broad",
        description="world:broad, world:local, a text, JSONL, CSV or Parquet file, or hub:NAME",
    )
    column: str | None = Field(None, description="of the prompts in a table; null: prompt")
    self_instruct: SelfInstructSettings | None = Field(None, description="instead of prompts")
    local: LocalSettings | None = Field(None, description="instead of prompts")
    n: Positive = Field(800, description="prompts, or instructions or pairs to keep")
    samples: Positive = Field(1, description="answers to each prompt")
    system: str | None = Field(None, description="a system prompt before each")
    turns: Positive = Field(1, description="answers in a dialogue; more need follow_ups")
    follow_ups: str | None = Field(
        None, description="the user's next turns: a file of lines, `teacher` or a model directory"
    )
    temperature: float = Field(0.7, ge=0)
    max_tokens: Positive = 512
    top_logprobs: int | None = Field(None, ge=0, le=20)
    batch: bool = Field(False, description="through the Batch API: cheaper, within a day")


class CleanSettings(Settings):
    """What is mended in a dialogue, and what bars it."""

    markup: bool = Field(True, description="HTML, as ShareGPT's, becomes markdown")
    characters: bool = Field(True, description="characters broken by wrong decoding are mended")
    residue: bool = Field(True, description="texts of a site's buttons are removed")
    refusals: Literal["keep", "drop"] = "keep"
    identity: Literal["keep", "drop", "rewrite"] = Field(
        "rewrite", description="answers that name their model or maker"
    )
    name: str = Field("an AI assistant", description="what rewrite says in their place")
    languages: list[str] | None = Field(None, description="ISO 639-1 codes to keep; null: all")
    private: Literal["mask", "keep"] = Field(
        "mask", description="addresses, numbers and keys of people"
    )


class DuplicateSettings(Settings):
    """Which dialogues count as the same, and which of them stays."""

    of: Literal["both", "prompts", "answers"] = Field("both", description="what is compared")
    near: float | None = Field(
        None, ge=0.5, le=1, description="Jaccard likeness from which; null: only equal texts"
    )
    keep: Literal["first", "longest"] = "first"


class ContaminationSettings(Settings):
    """Against which benchmarks a set is checked, and what becomes of hits."""

    benchmarks: list[str] | None = Field(None, description="null: those that a run evaluates")
    files: list[str] = Field([], description="prompt sets that are used to judge")
    action: Literal["drop", "exclude", "report"] = Field(
        "drop", description="drop the dialogues, exclude the items from evaluation, or neither"
    )


class DiversitySettings(Settings):
    """How the diversity of a set is measured, for its card."""

    sample: Positive = Field(2000, description="prompts whose nearest other is looked for")
    topics: Positive = 12
    embedder: str | None = Field(None, description="a local sentence-embedding model's folder")
    target: str | None = Field(None, description="prompts that the set should cover; needs one")


class MixSettings(Settings):
    """Nested subsets of a size in tokens; train.jsonl becomes the largest."""

    tokens: list[Positive] = Field(min_length=1, description="sizes, each in a file of its own")
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="by source's file name, against 1 of the others"
    )


class KnowledgeSettings(Settings):
    """Whether a base knows what factual dialogues say."""

    base: str | None = Field(None, description="a model directory or hub name; null: the run's")
    use: Literal["report", "filter", "weight"] = Field(
        "report", description="filter: drop the unknown; weight: take them last into a mix"
    )
    shots: Positive = Field(4, description="solved examples before a question")
    samples: Positive = Field(8, description="answers drawn to a question")
    n: Positive = Field(2000, description="dialogues probed, at most")


class CurateSettings(Settings):
    """What becomes of raw dialogues. `files` are read beside what was collected."""

    files: list[str] = []
    heldout: Fraction = 0.1
    heldout_max: Positive = 100
    clean: CleanSettings = CleanSettings()
    tokenizer: str | None = Field(None, description="counts tokens; null: the base's, in a run")
    context: Positive | None = Field(
        None, description="tokens over which a dialogue is split between turns"
    )
    duplicates: DuplicateSettings = DuplicateSettings()
    contamination: ContaminationSettings = ContaminationSettings()
    knowledge: KnowledgeSettings | None = None
    mix: MixSettings | None = None
    diversity: DiversitySettings = DiversitySettings()
    outputs: list[Literal["parquet", "messages", "sharegpt", "datasets"]] = Field(
        [], description="other forms to write the set in"
    )


class LoraSettings(Settings):
    """Train low-rank factors beside frozen weights (LoRA; over a 4-bit base, QLoRA)."""

    rank: Positive = 16
    alpha: float = Field(32, gt=0, description="the factors' product is scaled by alpha / rank")
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: list[str] | None = Field(
        None, description="names of linear layers; null: all but the head"
    )
    quantize: bool = Field(False, description="hold the base in 4 bits (NF4); needs bitsandbytes")
    merge: bool = Field(True, description="write a plain model; false: the factors alone")


class DistilSettings(Settings):
    """Learn the teacher's distributions beside its text."""

    teacher: str = Field(
        "ledger", description="ledger: its top_logprobs; else a model directory or hub name"
    )
    divergence: Literal["forward", "reverse", "js"] = Field(
        "forward", description="KL(teacher, student), KL(student, teacher) or their mixture's"
    )
    temperature: float = Field(1.0, gt=0)
    weight: Fraction = Field(0.5, description="of the divergence; the rest is cross-entropy's")
    on_policy: Fraction = Field(
        0.0, description="share of steps on the student's own answers; needs a teacher model"
    )
    max_tokens: Positive = Field(128, description="of the student's own answers")


class TrainSettings(Settings):
    """Fine-tuning with the loss on the assistant's tokens only."""

    tokens: Positive | None = Field(
        None, description="one of curate.mix.tokens, to train on that subset; null: the largest"
    )
    seed: int | None = Field(None, description="of the order; null: the recipe's")
    template: Literal["markers", "alpaca", "vicuna", "koala", "gpt4all", "own"] = "markers"
    context: Positive = 512
    packing: bool = True
    epochs: float = Field(1.0, gt=0)
    batch_tokens: Positive = Field(4096, description="tokens an optimizer step, about")
    batch_dialogues: Positive | None = Field(
        None, description="dialogues an optimizer step, about; instead of batch_tokens"
    )
    micro_batch_tokens: Positive = Field(4096, description="tokens a forward pass, at most")
    optimizer: Literal["adamw", "scaled_adamw"] = Field(
        "adamw", description="scaled_adamw: steps in proportion to each matrix's size"
    )
    learning_rate: float = Field(2e-4, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="after the warm-up"
    )
    warmup: Fraction = Field(0.03, description="share of the steps")
    warmup_steps: Positive | None = Field(None, description="instead of warmup")
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0)
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice and hold few"
    )
    compile: bool = Field(False, description="torch.compile")
    lora: LoraSettings | None = None
    distil: DistilSettings | None = None
    evaluations: Positive = Field(5, description="times the held-out loss is taken")
    select: Literal["last", "best"] = Field(
        "last", description="which weights become the student; best: of least held-out loss"
    )
    patience: Positive | None = Field(
        None, description="stop after as many held-out losses without a new best"
    )
    spike: float | None = Field(
        3.0, gt=0, description="stop where the loss is so many nats above its recent median"
    )
    trackers: list[Literal["wandb", "trackio"]] = Field([], description="beside TensorBoard")
    checkpoint_every_s: float | None = Field(
        None, gt=0, description="null: 20 s, or 20 times what one takes where that is more"
    )
    checkpoints: Positive = Field(1, description="how many of the latest are kept")


class ToxicitySettings(Settings):
    """How toxic continuations are, for the benchmark realtoxicity (Gehman et al. 2020)."""

    scorer: str = Field(
        "perspective",
        description="perspective (key in PERSPECTIVE_API_KEY), or a text-classification model's "
        "directory or hub name",
    )
    label: str | None = Field(
        None, description="the model's label that means toxic; null: the one that says so"
    )
    samples: Positive = Field(25, description="continuations a prompt")
    max_tokens: Positive = Field(20, description="of a continuation")
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(0.9, gt=0, le=1)
    queries_per_second: float = Field(1.0, gt=0, description="that Perspective allows")


class EvaluateSettings(Settings):
    """Targeted benchmarks. `data: world` takes the world's own files, null the hub's copies."""

    benchmarks: list[str] = Field(
        ["mmlu", "nq", "humaneval"], description="names, or YAML files of your own"
    )
    data: str | None = "world"
    limit: Positive | None = Field(None, description="items a benchmark, evenly over its subjects")
    engine: Literal["local", "vllm"] = Field("local", description="for base and student")
    dtype: Literal["fp32", "bf16"] = Field(
        "fp32", description="of the weights; bf16 is faster and rounds"
    )
    samples: Positive = Field(1, description="programs an item, for pass@k")
    temperature: float = Field(0.0, ge=0, description="at which programs are drawn")
    max_tokens: Positive | None = Field(
        None, description="longest generated program; null: the benchmark's"
    )
    top_logprobs: int | None = Field(
        None, ge=1, le=20, description="of a teacher's letters, where it gives any; null: its words"
    )
    exclude: str | None = Field(
        None, description="a contamination.jsonl that curate wrote; its items are left out"
    )
    contamination: str | None = Field(
        None, description="one whose items are scored and counted apart; null: the run's"
    )
    toxicity: ToxicitySettings = ToxicitySettings()


class AnswersSettings(Settings):
    """Free answers of every model to the same prompts, for style."""

    prompts: str = Field(
        "heldout", description="heldout, world:topics, world:mixed or a JSONL/text file"
    )
    n: Positive = 100
    temperature: float = Field(0.7, ge=0)
    max_tokens: Positive = 256


class JudgeSettings(TeacherSettings):
    """An LLM that says which of two answers is better. `base_url: world` is the embedded one."""

    model: str = "world-hurried"
    protocol: Literal["hurried", "checking", "style", "scores"] = Field(
        "hurried",
        description="hurried: the answer as a whole, at once; checking: claims against the "
        "reference before the verdict; style: form alone; scores: 1 to 10 for either, as Vicuna's",
    )
    top_logprobs: int | None = Field(
        None, ge=2, le=20, description="of the verdict, to weigh it; null: the word alone"
    )
    max_tokens: Positive | None = Field(None, description="of a reply; null: the protocol's")


class ReportSettings(Settings):
    """What the report shows."""

    samples: int = Field(6, ge=0, description="prompts shown with every model's answer")


class PlanSettings(Settings):
    """What a dry run is told of things that are not at hand yet. Nothing else heeds it."""

    parameters: float | None = Field(None, gt=0, description="of the base")
    teacher_parameters: float | None = Field(None, gt=0, description="of train.distil.teacher")
    dialogues: Positive | None = Field(None, description="in curate.files")
    tokens: Positive | None = Field(None, description="in them; null: 400 a dialogue")
    hardware: str = "this machine"
    flops: float | None = Field(
        None, gt=0, description="a second, sustained in training; null: this machine's, measured"
    )
    usd_per_hour: float = Field(0.0, ge=0, description="of the hardware")


class Recipe(Settings):
    """All of a run."""

    name: str = "run"
    seed: int = 0
    base: str = Field(description="world:tiny|mini|small|medium, a model directory or a hub name")
    teacher: TeacherSettings | None = None
    budget: BudgetSettings = BudgetSettings()
    ledger: str | None = Field(
        None, description="a file or postgresql:// address that runs share; null: the run's own"
    )
    world: WorldSettings = WorldSettings()
    collect: CollectSettings | None = None
    curate: CurateSettings = CurateSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    answers: AnswersSettings = AnswersSettings()
    judges: list[JudgeSettings] = Field([], description="who compares the models' answers")
    report: ReportSettings = ReportSettings()
    plan: PlanSettings | None = Field(
        None, description="for a dry run before files and weights are at hand"
    )

    @property
    def asked(self) -> list[TeacherSettings]:
        """Whoever is asked over an API: the teacher, if there is one, and the judges."""
        return [*([self.teacher] if self.teacher else []), *self.judges]
