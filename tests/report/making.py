"""Seeded comparisons for the tests of tables, figures and the page: real records in a real folder, no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paft.evaluation.results.statistics import summarize
from paft.experiments.records import METHODS, Measured, Record
from paft.files import write_json, write_jsonl
from paft.prompts import Prompt, PromptSet

LEVELS = {  # accuracy and its spread over prompts on the logit scale, by method
    "base": (-1.0, 0.3),
    "user": (0.3, 1.2),
    "top-accuracy": (0.4, 1.0),
    "batprompt": (0.4, 0.9),
    "zopo": (0.5, 0.9),
    "static-mix": (1.4, 0.4),
    "paft": (1.6, 0.3),
}
SETTINGS = {
    "examples_per_prompt": 4,
    "num_train_epochs": 3,
    "train_prompts": 100,
    "limit": 1000,
    "lora_r": 8,
    "learning_rate": 1e-4,
    "per_device_train_batch_size": 8,
}
SELECTED = ("top-accuracy", "batprompt", "zopo")
SIZES = {"hostile": 4, "train": 6, "user": 1}  # prompts of the other sweeps
NASTY = (
    "<script>window.broken = 1</script> {text}",
    "\"quotes\" 'and' </script><img src=x onerror=alert(1)> {text}",
    "right \u202e to left \u2066 {text}",
    "\\textbf{{x}} & 100 % of $5 #1 _a_ ~ ^ | pipe\n**bold** {text}",
    "long " + "word " * 20_000 + "{text}",
)


def make_records(
    tasks: Sequence[str] = ("pets",),
    methods: Sequence[str] = METHODS,
    seeds: int = 3,
    prompts: int = 12,
    examples: int = 40,
    variants: Sequence[Mapping[str, Any]] = (),
    sweeps: Sequence[str] = ("unseen",),
    scoring: str = "likelihood",
    variant_methods: Sequence[str] = ("paft",),
) -> list[Record]:
    """Records of every task, method and seed (base has one), and of ``variant_methods`` for every variant, which
    meets the unseen prompts alone.

    The same arguments give the same records. Accuracies follow ``LEVELS``; prompts and examples differ in difficulty
    in the same way for all methods.
    """
    records = []
    for task in tasks:
        for variant, names in [({}, methods), *((v, variant_methods) for v in variants)]:
            for method in names:
                for seed in range(1 if method == "base" else seeds):
                    sizes = {name: SIZES.get(name, prompts) for name in (("unseen",) if variant else sweeps)}
                    records.append(make_record(task, method, seed, sizes, examples, variant, scoring))
    return records


def make_record(
    task: str = "pets",
    method: str = "paft",
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    examples: int = 40,
    variant: Mapping[str, Any] | None = None,
    scoring: str = "likelihood",
) -> Record:
    """One record; ``sizes`` maps each of its sweeps to its number of prompts."""
    sizes, variant = sizes or {"unseen": 12}, dict(variant or {})
    which = (task, method, seed, variant)
    sweeps = {name: _measured(*which, name, count, examples, scoring) for name, count in sizes.items()}
    settings = {} if method == "base" else {**SETTINGS, **variant}
    training = None if method == "base" else _training(method, settings)
    return Record(task, "embedded", method, seed, sweeps, variant, settings, training, _selection(method, seed))


def make_comparison(
    folder: Path,
    tasks: Sequence[str] = ("pets",),
    methods: Sequence[str] = METHODS,
    seeds: int = 3,
    prompts: int = 12,
    examples: int = 40,
    variants: Sequence[Mapping[str, Any]] = (),
    hostile: bool = False,
    sweeps: Sequence[str] = ("unseen", "hostile", "train"),
    scoring: str = "likelihood",
    texts: bool = True,
    failures: int = 0,
) -> Path:
    """An output folder of ``paft compare``: records and, with ``texts``, compare.json and the tasks.

    Args:
        hostile: templates, slots and answers hold script tags, quotes, bidi marks and cells of 100 kB.
        failures: number of cells that failed.
    """
    for record in make_records(tasks, methods, seeds, prompts, examples, variants, sweeps, scoring):
        shown = "".join(f"-{key}={value}" for key, value in record.variant.items())
        record.save(folder / "records" / record.task / f"{record.method}-seed{record.seed}{shown}.json")
    for i in range(failures):
        cell = {"task": tasks[0], "method": "zopo", "seed": 90 + i, "variant": {}, "error": "the run ended: no memory"}
        write_json(folder / "failures" / tasks[0] / f"zopo-seed{90 + i}.json", cell)
    if texts:
        about = {"model": "embedded", "methods": list(methods), "seeds": list(range(seeds)), "train": SETTINGS}
        environment = {"paft": "0.1.0", "torch": "2.13.0", "python": "3.11", "device": "cpu"}
        command = "paft compare recipes/pets.yaml --output OUT"
        value = {"format_version": 1, "config": about, "environment": environment, "command": command}
        write_json(folder / "compare.json", value)
        for task in tasks:
            _write_task(folder / "tasks" / task, task, {n: SIZES.get(n, prompts) for n in sweeps}, examples, hostile)
    return folder


def _measured(
    task: str, method: str, seed: int, variant: Mapping[str, Any], sweep: str, prompts: int, examples: int, scoring: str
) -> Measured:
    shared = np.random.default_rng([*task.encode(), *sweep.encode()])
    words = f"{task}{sweep}{method}{dict(variant) or ''}"
    own = np.random.default_rng([*words.encode(), seed])
    level, spread = LEVELS.get(method, (0.0, 0.5))
    few = 1 / variant["train_prompts"] if "train_prompts" in variant else 0.0
    level, spread = level - few, spread + few
    ease_p, ease_n = shared.standard_normal(prompts), shared.standard_normal(examples)
    gold_n = shared.integers(0, 3, examples)
    logit_pn = level + spread * (0.7 * ease_p + 0.7 * own.standard_normal(prompts))[:, None] + 0.6 * ease_n
    correct_pn = own.random((prompts, examples)) < 1 / (1 + np.exp(-logit_pn))
    answer_pn = np.where(correct_pn, gold_n, (gold_n + own.integers(1, 3, (prompts, examples))) % 3)
    s = summarize(correct_pn, answer_pn, gold_n)
    numbers = {k: getattr(s, k) for k in ("mean", "std", "std_corrected", "min", "q05", "max", "macro_f1", "flip_rate")}
    ids = prompt_ids(sweep, prompts)
    numbers |= {"top": {"threshold": s.top_threshold, "share": s.top_share}}
    numbers["per_prompt"] = dict(zip(ids, s.accuracy_p.tolist(), strict=True))
    tokens = 2 * prompts * examples if scoring == "generate" else 0
    seconds = 10.0 + 3 * len(method) + seed
    names = [f"test:{i}" for i in range(examples)]
    return Measured(numbers, ids, names, correct_pn, answer_pn.astype(np.int32), "test", scoring, seconds, tokens)


def prompt_ids(sweep: str, count: int) -> list[str]:
    """The ids of a sweep's prompts."""
    return [f"{sweep[0]}{i:03}" for i in range(count)]


def _training(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    examples, epochs = settings["limit"] or 5000, settings["num_train_epochs"]
    steps = epochs * examples // settings["per_device_train_batch_size"]
    many = method in ("paft", "static-mix")
    facts = {"seconds": 0.2 * steps, "steps": steps, "examples": examples, "epochs": epochs}
    facts |= {"prompts": settings["train_prompts"] if many else 1, "final_loss": 0.2, "dropped": 0}
    return facts | {"processor_seconds": 0.3 * steps * (1 + many), "tokens": examples * epochs * (20 + 20 * many)}


def _selection(method: str, seed: int) -> dict[str, Any] | None:
    if method not in SELECTED:
        return None
    queries = 100 + 10 * seed
    costs = {"score": 0.6, "queries": queries, "calls": 20 * queries, "seconds": 30.0 + seed}
    return {"prompt_id": "t001", "text": "Kind of {text}:", **costs}


def _write_task(folder: Path, task: str, sizes: Mapping[str, int], examples: int, hostile: bool) -> None:
    facts = {"name": task, "type": "label", "answers": ["cat", "dog", "bird"], "match": "exact", "top_threshold": 0.85}
    facts |= {"user_prompt": "Which pet is it?\n{text}\nAnswer:", "description": "Name the pet.", "split": "test"}
    write_json(folder / "task.json", {**facts, "source": "pets.tsv"})
    for sweep, count in sizes.items():
        texts = [f"Wording {i} of {sweep}: {{text}}\nIt is a" for i in range(count)]
        if hostile:
            texts[: len(NASTY)] = NASTY[:count]
        source = {"kind": "llm", "model": f"writer-{count % 3}", "strategy": "zero-shot"}
        made = [Prompt.from_text(t, source, i) for i, t in zip(prompt_ids(sweep, count), texts, strict=True)]
        PromptSet(made).save(folder / "prompts" / f"{sweep}.jsonl")
        if sweep == "train":  # more are trained on than are swept
            further = [Prompt.from_text(f"Wording {i}, not swept: {{text}} is a", source) for i in range(3)]
            PromptSet([*made, *further]).save(folder / "training.jsonl")
    gold_n = _gold(task, sizes, examples)
    rows = []
    for i in range(examples):
        text = NASTY[i] if hostile and i < len(NASTY) else f"a small animal, number {i}"
        row = {"id": f"test:{i}", "slots": {"text": text}, "answer": facts["answers"][gold_n[i]]}
        rows.append({**row, "gold": int(gold_n[i]), "options": []})
    write_jsonl(folder / "examples.jsonl", rows)


def _gold(task: str, sizes: Mapping[str, int], examples: int) -> np.ndarray:
    """The right answers of the unseen sweep, drawn as ``_measured`` draws them."""
    shared = np.random.default_rng([*task.encode(), *b"unseen"])
    shared.standard_normal(sizes["unseen"])
    shared.standard_normal(examples)
    return shared.integers(0, 3, examples)
