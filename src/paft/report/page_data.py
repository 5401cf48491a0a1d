"""What the page shows, as plain lists and numbers. No mapping has a key that comes from data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paft.experiments.records import UNSEEN, Measured, Record
from paft.experiments.summary import AVERAGED, over_seeds
from paft.report.comparison import Comparison, TaskTexts
from paft.report.page_cells import answer_bits, derived_gold, packed_cells, pick_columns
from paft.report.page_facts import ablations, costs, settings_rows
from paft.report.page_text import PROMPT_LENGTHS, SLOT_LENGTHS, cut, fitted, prompt_rows, shown, slot_names, slot_values
from paft.report.pairs import nearest_pair
from paft.report.plots import colour
from paft.report.sweeps import with_sweep
from paft.report.verdict import Difference, Verdict, compared, verdict

CELL_ROOM, PROMPT_ROOM, SLOT_ROOM = 2_500_000, 600_000, 1_200_000  # bytes, of all tasks together
SWEEPS = (UNSEEN, "hostile", "user", "train")

Groups = Mapping[str, Sequence[Record]]


def task_data(comparison: Comparison, name: str, share: float = 1.0) -> dict[str, Any]:
    """Everything of one task.

    Args:
        share: the part of the page's room that this task may take.

    Raises:
        DataError: records that met other prompts or examples than the rest.
    """
    groups, texts = comparison.methods(name), comparison.tasks.get(name, TaskTexts())
    records = [record for group in groups.values() for record in group]
    said = verdict(comparison, name)
    focus = said.differences[0].method if said.differences else next(iter(groups))
    by_sweep = {each: with_sweep(comparison, name, each) for each in _sweep_names(records)}
    room, chosen = share * CELL_ROOM, {}
    for each, having in by_sweep.items():
        measured = _measured(having, each)
        columns = pick_columns(measured, int(room))
        chosen[each] = columns
        if columns is not None:
            room -= sum(len(m.prompt_ids) * len(columns) * (1 + answer_bits(measured)) for m in measured) / 6
    prompts, length = fitted(
        lambda n: {each: _prompts(having, each, texts, n) for each, having in by_sweep.items()},
        PROMPT_LENGTHS,
        int(share * PROMPT_ROOM),
    )
    ids = _example_ids(by_sweep, chosen)
    place = {example: i for i, example in enumerate(ids)}
    sweeps = []
    for each, having in by_sweep.items():
        found = said.differences if each == UNSEEN else _differences(focus, having, each)
        sweep = _sweep(each, having, groups, chosen[each], place)
        texts_known = {"prompts": prompts[each], "texts": any(row["turns"] for row in prompts[each])}
        sweeps.append(
            sweep | texts_known | {"differences": _by_method(found, groups), "pair": _pair(comparison, name, each)}
        )
    return {
        "name": cut(name, 120),
        "description": cut(texts.facts.get("description") or "", 500),
        "models": list(dict.fromkeys(cut(r.model, 200) for r in records)),
        "answers": [cut(a, 80) for a in texts.facts.get("answers") or ()],
        "methods": [
            {"name": cut(m, 60), "colour": colour(m, i), "seeds": [r.seed for r in group]}
            for i, (m, group) in enumerate(groups.items())
        ],
        "verdict": _sentences(said),
        "focus": list(groups).index(focus),
        "prompt_length": length,
        "examples": _examples(ids, by_sweep, texts, int(share * SLOT_ROOM)),
        "sweeps": sweeps,
        "costs": costs(groups),
        "settings": settings_rows(groups),
        "ablations": ablations(comparison, name),
    }


def _sweep_names(records: Sequence[Record]) -> list[str]:
    found = {name for record in records for name in record.sweeps}
    return [*(s for s in SWEEPS if s in found), *sorted(found - set(SWEEPS))]


def _measured(having: Groups, sweep: str) -> list[Measured]:
    return [record.sweeps[sweep] for group in having.values() for record in group]


def _prompts(having: Groups, sweep: str, texts: TaskTexts, length: int) -> list[dict[str, Any]]:
    return prompt_rows(_measured(having, sweep)[0].prompt_ids, texts.prompts.get(sweep), length)


def _example_ids(by_sweep: Mapping[str, Groups], chosen: Mapping[str, NDArray[np.int64] | None]) -> list[str]:
    """The ids of all examples that some sweep shows."""
    found: dict[str, None] = {}
    for sweep, having in by_sweep.items():
        columns, all_ids = chosen[sweep], _measured(having, sweep)[0].example_ids
        found |= dict.fromkeys(all_ids[i] for i in (() if columns is None else columns))
    return list(found)


def _examples(ids: Sequence[str], by_sweep: Mapping[str, Groups], texts: TaskTexts, room: int) -> dict[str, Any]:
    """Ids, right answers and slot values of the examples, in the order of ``ids``."""
    rows = [texts.examples.get(i) for i in ids]
    names = slot_names(texts.prompts.values(), texts.examples.values())
    values, length = fitted(lambda n: slot_values(rows, names, n), SLOT_LENGTHS, room)
    known: dict[str, int] = {}
    for sweep, having in by_sweep.items():
        measured = _measured(having, sweep)
        known |= {e: int(g) for e, g in zip(measured[0].example_ids, derived_gold(measured), strict=True) if g >= 0}
    gold = [
        row["gold"] if row and isinstance(row.get("gold"), int) else known.get(i, -1)
        for i, row in zip(ids, rows, strict=True)
    ]
    return {
        "ids": [cut(i, 80) for i in ids],
        "gold": gold,
        "right": [
            cut(row["answer"], 200) if row and g < 0 and row.get("answer") else None
            for g, row in zip(gold, rows, strict=True)
        ],
        "slots": [shown(n) for n in names],
        "values": values if any(v is not None for v in values) else None,
        "length": length,
    }


def _sweep(
    name: str,
    having: Groups,
    groups: Groups,
    columns: NDArray[np.int64] | None,
    place: Mapping[str, int],
) -> dict[str, Any]:
    measured = _measured(having, name)
    first, bits = measured[0], answer_bits(measured)
    shown_ids = [] if columns is None else [first.example_ids[i] for i in columns]
    return {
        "name": cut(name, 60),
        "total": len(first.example_ids),
        "columns": [place[i] for i in shown_ids],
        "split": cut(first.split, 60),
        "scoring": cut(first.scoring, 60),
        "threshold": first.numbers["top"]["threshold"],
        "bits": bits,
        "methods": [_runs(having.get(m), name, columns, bits) for m in groups],
    }


def _runs(
    group: Sequence[Record] | None, sweep: str, columns: NDArray[np.int64] | None, bits: int
) -> dict[str, Any] | None:
    """A method's numbers over all seeds, and of each seed its numbers, accuracies and cells."""
    if not group:
        return None
    runs = []
    for record in group:
        m = record.sweeps[sweep]
        numbers = {key: m.numbers[key] for key in AVERAGED} | {"top": m.numbers["top"]["share"]}
        accuracy = [round(float(a), 6) for a in m.correct_pn.mean(axis=1)]
        runs.append({"seed": record.seed, "numbers": numbers, "accuracy": accuracy, **packed_cells(m, columns, bits)})
    averaged = over_seeds(group, sweep)
    return {"numbers": {k: averaged[k] for k in AVERAGED} | {"top": averaged["top"]["share"]}, "runs": runs}


def _differences(focus: str, having: Groups, sweep: str) -> list[Difference]:
    """The focus minus each other method that has the sweep."""
    return [compared(focus, other, having, sweep) for other in having if focus in having and other != focus]


def _by_method(differences: Sequence[Difference], groups: Groups) -> list[dict[str, Any] | None]:
    """In the order of ``groups``; None for the focus itself and for what was not measured."""
    found = {d.other: d for d in differences}
    rows: list[dict[str, Any] | None] = []
    for method in groups:
        d = found.get(method)
        spans = {"mean": d.mean, "std": d.std} if d else {}
        row: dict[str, Any] = {k: [i.estimate, i.low, i.high] if i else None for k, i in spans.items()}
        rows.append(row | {"seeds": d.seeds, "higher": d.higher} if d else None)
    return rows


def _pair(comparison: Comparison, task: str, sweep: str) -> dict[str, Any] | None:
    """The two prompts that are worded almost alike and differ most in accuracy, as indices."""
    pair = nearest_pair(comparison, task, sweep)
    if pair is None:
        return None
    ids = next(iter(with_sweep(comparison, task, sweep).values()))[0].sweeps[sweep].prompt_ids
    return {"prompts": [ids.index(i) for i in pair.ids], "words": pair.words}


def _sentences(said: Verdict) -> list[str]:
    return [shown(said.sentence), *map(shown, said.further)]
