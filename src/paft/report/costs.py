"""Tables 2, 6 and 7: what answering, training and choosing prompts took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from paft.experiments.records import Measured, Record
from paft.prompts.origin import UNKNOWN, origin
from paft.report.comparison import Comparison
from paft.report.sheet import NONE, Column, Row, Sheet, decimal, emphasised, row
from paft.report.verdict import ONE_PROMPT, PAFT

GENERATE = "generate"
NO_TIME = (
    "These sweeps compared the likelihood of given answers and wrote none, so they do not tell how long a model takes "
    "to answer; use scoring: generate for that."
)
SPENT = ("processor s", "x user, processor", "tokens / example")
WRITER = ("kind", "model", "strategy")


def inference(comparison: Comparison, tasks: Sequence[str]) -> Sheet:
    """Table 2: seconds of a sweep over the unseen prompts, and tokens written."""
    groups = {task: comparison.methods(task) for task in tasks}
    columns, kinds = [Column("method")], set()
    for task in tasks:
        heads = ("seconds", "s / 1,000 answers", "tokens / answer")
        columns += [Column(head, _group(task, tasks), "less" if head == heads[1] else None) for head in heads]
        kinds |= {r.unseen.scoring for group in groups[task].values() for r in group}
    methods = _methods(groups)
    rows = [row([m, *(_flat(groups, m, _inference_cells, 3))]) for m in methods]
    notes = ["Of the sweep over unseen prompts, loading left out, averaged over seeds."]
    if kinds == {GENERATE}:
        rows = emphasised(columns, rows) + _speed_ups(groups, methods)
    else:
        notes.append(NO_TIME)
    return Sheet("table-2", "Table 2. Time of inference", columns, rows, notes)


def training(comparison: Comparison, tasks: Sequence[str]) -> list[Sheet]:
    """Table 6: what training took, by example too and beside the user prompt's; prompts differ in length."""
    groups = {task: {m: g for m, g in comparison.methods(task).items() if _trained(g)} for task in tasks}
    if not any(groups.values()):
        return []
    kept = [_trained(records) for group in groups.values() for records in group.values()]
    counted = any(fact.get("tokens") for facts in kept for fact in facts)
    heads = ("seconds", "x user", "steps", "ms / example", *(SPENT if counted else ()))
    columns = [Column("method"), *(Column(head, _group(task, tasks)) for task in tasks for head in heads)]
    rows = []
    for method in _methods(groups):
        cells: list[str] = []
        for group in groups.values():
            shown = _training_cells(group[method], group.get("user", [])) if method in group else [NONE] * 7
            cells += shown[: len(heads)]
        rows.append(row([method, *cells]))
    notes = [
        "Averaged over seeds; an example counts once for each epoch. The choice of a prompt is left out, see below.",
        "Seconds depend on what else the machine was doing"
        + ("; processor seconds and tokens are of the seeds that counted them." if counted else "."),
    ]
    return [Sheet("table-6", "Table 6. Time of training", columns, rows, notes)]


def prompt_sources(comparison: Comparison, tasks: Sequence[str]) -> list[Sheet]:
    """Table 7, first part: who wrote the prompts, how many they are, and the tokens where they are known."""
    rows: list[Row] = []
    for task in tasks:
        texts = comparison.tasks[task]
        sets = (texts.training, texts.prompts.get("unseen"))
        counts = [None if prompts is None else Counter(map(_writer, prompts)) for prompts in sets]
        tokens = _tokens(texts.facts.get("usage", ()))
        for writer in dict.fromkeys(writer for count in counts if count is not None for writer in count):
            spent = tokens.get(writer[1:])
            shown = [NONE if count is None else f"{count[writer]:,}" for count in counts]
            rows.append(row([task, ", ".join(w for w in writer if w != UNKNOWN) or UNKNOWN, *shown, decimal(spent, 0)]))
    if not rows:
        return []
    columns = [Column("task"), Column("written by", left=True), Column("training prompts"), Column("unseen prompts")]
    known = any(r.cells[-1].text != NONE for r in rows)
    columns.append(Column("tokens"))
    note = "Tokens of requests and replies together, of prompts that were refused too."
    if not known:
        note = "How many tokens the prompts took is not recorded with them; see the .usage.json beside a generated set."
        columns, rows = columns[:-1], [Row(r.cells[:-1], r.kind) for r in rows]
    return [Sheet("table-7", "Table 7. Where the prompts came from", columns, rows, [note])]


def selections(comparison: Comparison, tasks: Sequence[str]) -> list[Sheet]:
    """Table 7, second part: what choosing a prompt took, by method."""
    rows = []
    for task in tasks:
        for method, group in comparison.methods(task).items():
            chosen = [r.selection for r in group if r.selection is not None]
            if not chosen:
                continue
            prompts = {str(c["prompt_id"]) for c in chosen}
            means = [float(np.mean([c[key] for c in chosen])) for key in ("queries", "calls", "seconds")]
            score = 100 * float(np.mean([c["score"] for c in chosen]))
            cells = [task, method, str(len(chosen)), *(decimal(mean, 0) for mean in means), decimal(score)]
            rows.append(row([*cells, str(len(prompts))]))
    if not rows:
        return []
    heads = ("seeds", "queries", "calls", "seconds", "score in %", "different picks")
    columns = [Column("task"), Column("method", left=True), *map(Column, heads)]
    notes = [
        "Averaged over seeds. A query scores a prompt once; a call is one answer of the model; the score is the picked "
        "prompt's own, on the examples that it was chosen by."
    ]
    return [Sheet("selection", "What choosing one prompt took", columns, rows, notes)]


def _inference_cells(group: Sequence[Record]) -> list[str]:
    measured = [r.unseen for r in group]
    tokens = [m.tokens_generated / m.correct_pn.size for m in measured if m.scoring == GENERATE]
    rate = float(np.mean([_rate(m) for m in measured]))
    seconds = float(np.mean([m.seconds for m in measured]))
    return [decimal(seconds), decimal(rate, 2), decimal(float(np.mean(tokens)) if tokens else None)]


def _rate(measured: Measured) -> float:
    """Seconds for a thousand answers."""
    return 1000 * measured.seconds / measured.correct_pn.size


def _speed_ups(groups: Mapping[str, Mapping[str, Sequence[Record]]], methods: Sequence[str]) -> list[Row]:
    """How many times as long others take as PAFT: the fastest of all, as in the paper, and of those trained alike."""
    lines = {
        "x fastest other": [m for m in methods if m != PAFT],
        "x fastest single prompt": [m for m in methods if m in ONE_PROMPT],
    }
    rows = []
    for label, others in lines.items():
        cells: list[str] = []
        for group in groups.values():
            rates = {m: float(np.mean([_rate(r.unseen) for r in records])) for m, records in group.items()}
            known = [rates[m] for m in others if m in rates]
            ratio = min(known) / rates[PAFT] if known and rates.get(PAFT) else None
            cells += ["", decimal(ratio, 2), ""]
        if any(cell not in ("", NONE) for cell in cells):
            rows.append(row([label, *cells], "sum"))
    return rows


def _training_cells(group: Sequence[Record], user: Sequence[Record]) -> list[str]:
    facts, users = _trained(group), _trained(user)
    seconds, processor, steps = (_mean(facts, name) for name in ("seconds", "processor_seconds", "steps"))
    seen = [f["examples"] * f["epochs"] for f in facts if f.get("examples") and f.get("epochs")]
    rows = float(np.mean(seen)) if len(seen) == len(facts) else None
    per_example = _over(1000 * seconds if seconds else None, rows)
    tokens = _over(_mean(facts, "tokens"), rows)
    ratios = [_over(_mean(facts, name), _mean(users, name)) for name in ("seconds", "processor_seconds")]
    first = [decimal(seconds), decimal(ratios[0], 2), decimal(steps, 0), decimal(per_example)]
    return [*first, decimal(processor), decimal(ratios[1], 2), decimal(tokens)]


def _over(value: float | None, of: float | None) -> float | None:
    return value / of if value is not None and of else None


def _trained(group: Sequence[Record]) -> list[Mapping[str, Any]]:
    return [r.training for r in group if r.training is not None]


def _mean(facts: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [f[key] for f in facts if f.get(key) is not None]
    return float(np.mean(values)) if values else None


def _writer(prompt: Any) -> tuple[str, ...]:
    given = origin(prompt)
    return tuple(given.get(name, UNKNOWN) for name in WRITER)


def _tokens(usage: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], int]:
    """Model and strategy -> tokens, from the rows of a ``.usage.json``."""
    spent: Counter[tuple[str, ...]] = Counter()
    for each in usage:
        spent[str(each.get("model")), str(each.get("strategy"))] += each.get("prompt_tokens", 0) + each.get(
            "completion_tokens", 0
        )
    return dict(spent)


def _methods(groups: Mapping[str, Mapping[str, Sequence[Record]]]) -> list[str]:
    return list(dict.fromkeys(method for group in groups.values() for method in group))


def _flat(
    groups: Mapping[str, Mapping[str, Sequence[Record]]],
    method: str,
    cells: Callable[[Sequence[Record]], list[str]],
    width: int,
) -> list[str]:
    """The cells of a method under every task, dashes where it has no records of one."""
    return [c for group in groups.values() for c in (cells(group[method]) if method in group else [NONE] * width)]


def _group(task: str, tasks: Sequence[str]) -> str:
    return task if len(tasks) > 1 else ""
