"""A seeded split into train and test prompts that leaves no near-copy of a test prompt in training.

Prompts at least ``threshold`` alike, and prompts with the same ``group``, form one group (through any chain
of such links); a group goes whole to one side. The test side gets exactly the number asked for wherever
some choice of groups allows it. Which groups it gets depends on the seed and the ids, not on file order.

With ``stratify="source"`` the test side also holds every combination of the source fields in proportion, as well as
the groups allow; see ``paft.prompts.stratify``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import pairwise

from paft.errors import InputError
from paft.prompts.origin import UNKNOWN
from paft.prompts.prompt import Prompt
from paft.prompts.prompt_set import PromptSet
from paft.prompts.similarity import comparable, group, similar_pairs
from paft.prompts.stratify import Stratum, name_strata, stratified_choice


@dataclass(frozen=True)
class SplitResult:
    """Two prompt sets; unpacks as ``train, test``.

    Attributes:
        train, test: the sides, each in the order of the whole set, with ``split`` set on every prompt.
        groups: number of groups of two prompts or more that were kept together.
        grouped: number of prompts in them.
        notes: where the result is not exactly what was asked for; sentences for people.
        strata: with ``stratify``, every combination of source fields and its prompts on each side.
    """

    train: PromptSet
    test: PromptSet
    groups: int
    grouped: int
    notes: tuple[str, ...] = ()
    strata: tuple[Stratum, ...] = ()

    def __iter__(self) -> Iterator[PromptSet]:
        return iter((self.train, self.test))


def split(
    prompts: PromptSet,
    test: int | None = None,
    ratio: Sequence[float] | str | None = None,
    seed: int = 0,
    threshold: float = 0.9,
    stratify: str | None = None,
) -> SplitResult:
    """Part ``prompts`` into train and test; give ``test`` (a count) or ``ratio`` (train to test).

    Args:
        stratify: ``"source"`` gives each side every source in proportion; None leaves that to chance.

    Raises:
        InputError: neither or both of test and ratio, a test side that leaves nothing to train on,
            a set of one prompt, a set that is a single group, or an unknown ``stratify``.
    """
    if stratify not in (None, "source"):
        raise InputError(f"stratify must be 'source' or None, found {stratify!r}")
    wanted = _wanted(len(prompts), test, ratio)
    items = list(prompts)
    groups = _groups(items, threshold)
    if len(groups) == 1:
        raise InputError(
            f"all {len(items)} prompts form one group of near-copies (similarity {threshold} or more, or one 'group'); "
            "a split would leak: add different wordings, or raise the threshold"
        )
    order = sorted(groups, key=lambda members: _draw(seed, min(items[i].id for i in members)))
    if stratify is None:
        chosen = _choose([len(members) for members in order], wanted)
    else:
        chosen = stratified_choice(items, order, lambda sizes: _choose(sizes, wanted))
    tested = {i for at in chosen for i in order[at]}
    train_side = [replace(p, split="train") for i, p in enumerate(items) if i not in tested]
    test_side = [replace(p, split="test") for i, p in enumerate(items) if i in tested]
    strata = name_strata(train_side, test_side) if stratify is not None else ()
    kept = [len(members) for members in groups if len(members) > 1]
    notes = tuple(_notes(len(tested), wanted, strata))
    return SplitResult(PromptSet(train_side), PromptSet(test_side), len(kept), sum(kept), notes, strata)


def _notes(tested: int, wanted: int, strata: Sequence[Stratum]) -> Iterator[str]:
    """Where the split is not what was asked for."""
    if tested != wanted:
        yield f"{wanted} test prompts were asked for; the groups of near-copies allow {tested} at the nearest"
    if len(strata) == 1:
        none = strata[0].name == UNKNOWN
        same = "no prompt names its source" if none else f"all prompts have the same source ({strata[0].name})"
        yield f"{same}: there is nothing to stratify by"


def _wanted(size: int, test: int | None, ratio: Sequence[float] | str | None) -> int:
    """The number of test prompts asked for."""
    if (test is None) == (ratio is None):
        raise InputError("give either test (a number of prompts) or ratio (train to test, such as 8:1)")
    if size < 2:
        raise InputError("a set with one prompt cannot be split; add prompts first")
    if ratio is not None:
        train_part, test_part = _read_ratio(ratio)
        return min(max(round(size * test_part / (train_part + test_part)), 1), size - 1)
    if test is None or not 1 <= test < size:
        raise InputError(f"test must be from 1 to {size - 1} for a set of {size} prompts, found {test}")
    return test


def _read_ratio(ratio: Sequence[float] | str) -> tuple[float, float]:
    try:
        parts = [float(part) for part in (ratio.split(":") if isinstance(ratio, str) else ratio)]
    except (TypeError, ValueError):
        parts = []
    if len(parts) != 2 or not all(0 < part < float("inf") for part in parts):
        raise InputError(f"ratio must be two numbers above 0, train to test, such as 8:1; found {ratio!r}")
    return parts[0], parts[1]


def _groups(items: Sequence[Prompt], threshold: float) -> list[list[int]]:
    """Indices of prompts that must stay together."""
    named: dict[str, list[int]] = defaultdict(list)
    for i, prompt in enumerate(items):
        if prompt.group is not None:
            named[prompt.group].append(i)
    links = [(a, b) for a, b, _ in similar_pairs([comparable(p.template) for p in items], threshold)]
    links += [link for members in named.values() for link in pairwise(members)]
    return group(len(items), links)


def _draw(seed: int, id: str) -> bytes:
    """A random-looking key that orders groups by seed."""
    return blake2b(f"{seed}\x00{id}".encode(), digest_size=16).digest()


def _choose(sizes: Sequence[int], wanted: int) -> list[int]:
    """Positions whose sizes sum to ``wanted``, or as near as any proper choice comes; early ones first.

    Subset sum: bit ``s`` of ``reachable[k]`` says that some of the groups from ``k`` on sum to ``s``.
    """
    reachable = [1]
    for size in reversed(sizes):
        reachable.append(reachable[-1] | reachable[-1] << size)
    reachable.reverse()
    sums = [s for s in range(1, sum(sizes)) if reachable[0] >> s & 1]
    left = min(sums, key=lambda s: (abs(s - wanted), s))
    chosen = []
    for at, size in enumerate(sizes):
        if left >= size and reachable[at + 1] >> (left - size) & 1:
            chosen.append(at)
            left -= size
    return chosen
