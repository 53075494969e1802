"""How much each student is trained: candidates tried, and one chosen by held-out loss alone.

Each candidate is tried on one base, one seed and one amount of every kind; for each kind the one
whose student has the least held-out loss is taken for all of its students. What the candidates do
to benchmarks is measured and told, and decides nothing: the amount of training is a confounder of
the amount of data, and choosing it by the score would choose the finding.
"""

from typing import Any

from understudy.files import read_json, write_json
from understudy.manifest import facts_of
from understudy.study.job import Candidate, Job

FILE = "rule.json"


def choose_rule(job: Job) -> dict[str, Any]:
    """Choose a candidate for every kind from the finished pilots; writes `rule.json`.

    Returns:
        {"base", "seed", "amounts": {kind: tokens}, "chosen": {kind: changes to train},
        "pilots": [{"kind", "candidate", "steps", "tokens", "heldout_loss", "scores"}]}; losses are
        nats a supervised token, scores shares by benchmark.
    """
    pilots = []
    for kind in job.settings.kinds:
        for number, candidate in enumerate(job.settings.rule.candidates):
            run = job.pilot_run(kind, number)
            trained = facts_of(run.folder("train"))
            scores = facts_of(run.folder("evaluate/student"))["scores"]
            measured = {name: trained[name] for name in ("steps", "tokens", "heldout_loss")}
            pilots.append({"kind": kind, "candidate": candidate, **measured, "scores": scores})
    chosen = {
        kind: min((p for p in pilots if p["kind"] == kind), key=lambda p: p["heldout_loss"])
        for kind in job.settings.kinds
    }
    rule = {
        "base": job.pilot_base,
        "seed": job.settings.seeds[0],
        "amounts": {kind: job.pilot_amount(kind) for kind in job.settings.kinds},
        "chosen": {kind: pilot["candidate"] for kind, pilot in chosen.items()},
        "pilots": pilots,
    }
    write_json(job.out / FILE, rule)
    return rule


def chosen_for(job: Job, kind: str) -> Candidate:
    """How every student of a kind is trained, once that is chosen: changes to train."""
    chosen: Candidate = read_json(job.out / FILE)["chosen"][kind]
    return chosen
