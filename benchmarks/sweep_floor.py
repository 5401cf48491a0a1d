"""What a sweep cannot do without: every distinct beginning of its rows once, and logits where an answer is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common import forward_flops
from sweep_sides import MAX_LENGTH, Bench

from paft import SweepResult
from paft.evaluation import Options, Pair, Work, open_here


def floor_flops(bench: Bench, result: SweepResult) -> float:
    """Operations of the forward passes over a workload's cells, no token run twice after the same tokens."""
    options = Options(bench.workload.scoring, max_length=MAX_LENGTH, max_new_tokens=bench.workload.room, chat="off")
    examples = bench.examples
    work = Work((bench.model, bench.tokenizer), bench.task, bench.prompts, examples, options)
    pairs = [Pair(prompt, example) for prompt in bench.prompts for example in examples]
    sizes = bench.model.config.to_dict()
    with open_here(work) as backend:
        asked = backend.rows
    if backend.generates:
        written = [cell.generated_tokens for row in result.cells_pn for cell in row]
        rows = [tuple(ids.tolist()) for ids in asked.prompts(pairs)]
        tokens, attended = distinct(rows)
        told = dict(zip(rows, written, strict=True))  # like prompts get like answers
        further = [len(row) + i for row, n in told.items() for i in range(1, n)]
        return forward_flops(sizes, tokens + len(further), attended + sum(further), sum(told.values()))
    run, wanted = set(), set()
    for found in asked.scored(pairs):
        for context, ids in zip(found.contexts, found.candidates, strict=True):
            whole = (*context.tolist(), *ids[:-1])
            run.add(whole)
            wanted |= {whole[:n] for n in range(len(context), len(whole) + 1)}
    return forward_flops(sizes, *distinct(run), len(wanted))


def distinct(rows: Iterable[Sequence[int]]) -> tuple[int, int]:
    """(tokens, what they attend to in all) of rows with their common beginnings counted once."""
    tokens = attended = 0
    before: Sequence[int] = ()
    for row in sorted(rows):
        shared = next((i for i, (a, b) in enumerate(zip(before, row, strict=False)) if a != b), None)
        shared = min(len(before), len(row)) if shared is None else shared
        tokens += len(row) - shared
        attended += sum(range(shared + 1, len(row) + 1))
        before = row
    return tokens, attended
