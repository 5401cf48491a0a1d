"""Which method wins on a task, by how much and how surely: the one place that says so in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paft.errors import InputError
from paft.evaluation.results.statistics import Interval
from paft.experiments.records import UNSEEN, Record
from paft.experiments.summary import difference
from paft.report.comparison import Comparison

PAFT = "paft"
ONE_PROMPT = ("user", "top-accuracy", "batprompt", "zopo")  # methods that train on a single prompt


@dataclass(frozen=True)
class Difference:
    """What one method differs from another by, on the seeds that both have.

    Attributes:
        method, other: the two; a number above 0 says that ``method`` has more.
        mean, std: ``method - other`` with its 95% interval, of the mean accuracy over prompts and of its standard
            deviation over prompts; fractions. None where it is not defined: no seed in common, or one prompt.
        seeds: how many seeds are compared; ``base`` has one, which is compared with every seed.
        higher, behind: on how many of them ``method`` has the higher mean, and ``other``.
        lower: on how many of them ``method`` has the lower standard deviation; None where there is none.
    """

    method: str
    other: str
    mean: Interval | None
    std: Interval | None
    seeds: int
    higher: int
    behind: int
    lower: int | None

    @property
    def shown(self) -> bool:
        """Whether the interval of the mean leaves out 0."""
        return self.mean is not None and (self.mean.low > 0 or self.mean.high < 0)


@dataclass(frozen=True)
class Verdict:
    """What the records of a task say.

    Attributes:
        task: its name.
        winner: the method with the highest mean; None where no method was run.
        runner_up: the next; None where there is no other.
        clear: whether the interval of winner minus runner-up leaves out 0.
        lead: winner minus runner-up.
        differences: PAFT minus each other method, in the paper's order; of the winner where PAFT was not run.
        sentence: one plain sentence on who beats whom, by how much and how surely.
        further: more sentences, on the spread over prompts and on what limits the comparison.
    """

    task: str
    winner: str | None
    runner_up: str | None
    clear: bool
    lead: Difference | None
    differences: Sequence[Difference]
    sentence: str
    further: Sequence[str] = ()


def verdict(comparison: Comparison, task: str) -> Verdict:
    """Compare the methods of a task on the prompts that none was trained on.

    Raises:
        InputError: a task without records.
    """
    groups = comparison.methods(task)
    if not groups:
        raise InputError(
            f"there are no records of {task!r} outside ablations; the comparison holds {_names(comparison)}"
        )
    subject = PAFT if PAFT in groups else max(groups, key=lambda name: _mean(groups[name]))
    differences = [compared(subject, other, groups) for other in groups if other != subject]
    ranked = _ranked(subject, differences, groups)
    lead = compared(ranked[0], ranked[1], groups) if len(ranked) > 1 else None
    return Verdict(
        task=task,
        winner=ranked[0],
        runner_up=ranked[1] if len(ranked) > 1 else None,
        clear=lead is not None and lead.shown,
        lead=lead,
        differences=differences,
        sentence=_sentence(subject, differences, ranked),
        further=_further(subject, differences, ranked, groups),
    )


def compared(method: str, other: str, groups: Mapping[str, Sequence[Record]], sweep: str = UNSEEN) -> Difference:
    """One method minus another, paired by seed, prompt and example.

    Args:
        groups: method -> its records that have the sweep.
    """
    a, b = shared_seeds(groups[method], groups[other])
    if not a:
        return Difference(method, other, None, None, 0, 0, 0, None)
    measured = [(x.sweeps[sweep].numbers, y.sweeps[sweep].numbers) for x, y in zip(a, b, strict=True)]
    spreads = [(x["std"], y["std"]) for x, y in measured if x["std"] is not None and y["std"] is not None]
    return Difference(
        method=method,
        other=other,
        mean=difference(a, b, "mean", sweep),
        std=difference(a, b, "std", sweep) if spreads else None,
        seeds=len(a),
        higher=sum(x["mean"] > y["mean"] for x, y in measured),
        behind=sum(x["mean"] < y["mean"] for x, y in measured),
        lower=sum(x < y for x, y in spreads) if spreads else None,
    )


def shared_seeds(a: Sequence[Record], b: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """The records of two methods on the seeds that both have, in the same order.

    A method that was not trained knows no chance: its one record stands for every seed of the other.
    """
    left, right = {r.seed: r for r in a}, {r.seed: r for r in b}
    if _untrained(a) and not _untrained(b):
        left = dict.fromkeys(right, a[0])
    elif _untrained(b) and not _untrained(a):
        right = dict.fromkeys(left, b[0])
    seeds = [seed for seed in left if seed in right]
    return [left[seed] for seed in seeds], [right[seed] for seed in seeds]


def _ranked(subject: str, differences: Sequence[Difference], groups: Mapping[str, Sequence[Record]]) -> list[str]:
    """Methods by their mean, best first: against the subject on the seeds that both have, where there are any."""
    above = {subject: 0.0}
    for d in differences:
        apart = _mean(groups[d.other]) - _mean(groups[subject])
        above[d.other] = apart if d.mean is None else -d.mean.estimate
    return sorted(above, key=lambda name: -above[name])


def unequal_seeds(groups: Mapping[str, Sequence[Record]]) -> list[str]:
    """A sentence where trained methods have not all the same seeds, as in a comparison that is under way."""
    seeds = {frozenset(r.seed for r in group) for group in groups.values() if not _untrained(group)}
    if len(seeds) < 2:
        return []
    return ["The methods do not all have the same seeds; a difference rests on those that both have."]


def points(interval: Interval | None) -> str:
    """An interval of fractions in points: ``+30.3 (22.7 to 38.3)``; a dash for None."""
    if interval is None:
        return "–"
    return f"{signed(interval.estimate)} ({_plain(interval.low)} to {_plain(interval.high)})"


def signed(fraction: float) -> str:
    """A fraction in points with its sign and one decimal; 0.0 has none."""
    text = f"{100 * fraction:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def _sentence(subject: str, differences: Sequence[Difference], ranked: Sequence[str]) -> str:
    if not differences:
        return f"Only {subject} was run; there is nothing to compare it with."
    by_name = {d.other: d for d in differences}
    rivals = [name for name in ranked if name in by_name]
    best = rivals[0]
    single = next((name for name in rivals if name in ONE_PROMPT), None)
    several = sum(name in ONE_PROMPT for name in rivals) > 1
    parts = [_clause(by_name[single], several)] if single is not None else []
    if best != single:
        clause = _clause(by_name[best], False)
        lead = clause.partition(" between ")[0]
        if parts and parts[0].startswith(lead + " between "):
            parts[0] += ", nor" + clause.removeprefix(lead)
        else:
            parts.append(clause)
    whole = "; ".join(parts) + "."
    return "No" + whole[2:] if whole.startswith("no ") else whole


def _clause(d: Difference, best_single: bool) -> str:
    """Who beats whom, as part of a sentence."""
    role = ", the best single prompt," if best_single else ""
    if d.mean is None:
        return f"{d.method} and {d.other}{role} have no seed in common"
    size, _, span = points(d.mean).partition(" (")
    if not d.shown:
        both = f"{d.method} and {d.other}{role}"
        return f"no difference that {_these(d.seeds)} could show between {both.rstrip(',')} ({size} points, {span}"
    won = d.mean.estimate > 0
    first, second = (d.method, f"{d.other}{role}") if won else (f"{d.other}{role}", d.method)
    gain = d.mean if won else Interval(-d.mean.estimate, -d.mean.high, -d.mean.low, d.mean.level)
    size, _, span = points(gain).partition(" ")
    return f"{first} beats {second} by {size} points {span}, {_seeds_won(d, won)}"


def _seeds_won(d: Difference, won: bool) -> str:
    if d.seeds == 1:
        return "one seed"
    return f"{d.higher if won else d.behind} of {d.seeds} seeds"


def _further(
    subject: str, differences: Sequence[Difference], ranked: Sequence[str], groups: Mapping[str, Sequence[Record]]
) -> list[str]:
    notes = []
    rivals = [name for name in ranked if name in ONE_PROMPT and name != subject] or [n for n in ranked if n != subject]
    d = next((d for d in differences if rivals and d.other == rivals[0]), None)
    if d is not None and d.std is not None:
        narrower = d.std.estimate < 0
        how = "less" if narrower else "more"
        if d.std.low <= 0 <= d.std.high:
            notes.append(
                f"Spread over prompts: no difference from {d.other} that could be shown, {points(d.std)} points."
            )
        else:
            notes.append(f"Over prompts {subject} spreads {how} than {d.other}: {points(d.std)} points of std.")
    trained = [len(group) for group in groups.values() if not _untrained(group)]
    if trained and max(trained) == 1:
        notes.append("One seed: no interval over seeds; what is shown holds for these runs, and others may differ.")
    elif trained and min(trained) < 3:
        notes.append("Fewer than three seeds: the intervals tell of prompts and examples, not of seeds.")
    return notes + unequal_seeds(groups)


def _these(seeds: int) -> str:
    return "this one seed" if seeds == 1 else "these seeds"


def _plain(fraction: float) -> str:
    return signed(fraction).lstrip("+")


def _mean(group: Sequence[Record]) -> float:
    return sum(r.unseen.numbers["mean"] for r in group) / len(group)


def _untrained(group: Sequence[Record]) -> bool:
    return len(group) == 1 and group[0].training is None


def _names(comparison: Comparison) -> str:
    return ", ".join(comparison.tasks)
