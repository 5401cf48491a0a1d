"""The records of a task that differ in some settings alone: what tables, figures and the page of ablations show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from paft.experiments.axes import AXES
from paft.experiments.records import METHODS, Record
from paft.report.comparison import Comparison

Value = tuple[Any, ...]
Groups = dict[Value, list[Record]]


@dataclass(frozen=True)
class Varied:
    """Records that are alike in every setting that is ever varied, but for ``keys``.

    Attributes:
        keys: the settings that vary.
        rest: every other setting -> the value that all records have; None where it is not known.
        context: those of ``rest`` in which they are not as the comparison itself.
        methods: method -> values of ``keys`` -> its records; only methods with a variant in ``keys``.
    """

    keys: tuple[str, ...]
    rest: Mapping[str, Any]
    context: Mapping[str, Any]
    methods: Mapping[str, Groups]

    @property
    def records(self) -> list[Record]:
        """All of them."""
        return [r for groups in self.methods.values() for group in groups.values() for r in group]

    @property
    def note(self) -> str:
        """``limit 50, lora_r 2``: the context in words; empty without one."""
        return ", ".join(f"{key} {value}" for key, value in self.context.items())

    @cached_property
    def points(self) -> int:
        """The values of the method that has most of them."""
        return max((len(groups) for groups in self.methods.values()), default=0)

    @cached_property
    def is_axis(self) -> bool:
        """Whether ``keys`` were varied here: by variants in nothing else, or to two values at least."""
        varied = {self.values(r) for r in self.records if set(self.keys) & set(r.variant)}
        return len(varied) > 1 or any(set(r.variant) <= set(self.keys) for r in self.records if r.variant)

    def values(self, record: Record) -> Value:
        """A record's values of ``keys``."""
        return tuple(setting(record, key) for key in self.keys)


def varied(comparison: Comparison, task: str, keys: Sequence[str], only: str = "") -> list[Varied]:
    """Every set of a task's records in which ``keys`` vary and all else is alike, the one with most values first.

    Args:
        only: leave out all methods but this.
    """
    trained = [r for r in comparison.records if r.task == task and r.method != "base" and only in ("", r.method)]
    names = [*AXES, *sorted({key for r in trained for key in r.variant} - set(AXES))]
    others = [name for name in names if name not in keys]
    reference = [r for r in trained if not r.variant] or trained
    own = {name: {setting(r, name) for r in reference} for name in others}
    sets: dict[Value, list[Record]] = {}
    for record in trained:
        if all(_known(record, key) for key in keys):
            sets.setdefault(tuple(setting(record, name) for name in others), []).append(record)
    found = []
    for values, records in sets.items():
        rest = dict(zip(others, values, strict=True))
        context = {name: value for name, value in rest.items() if own[name] != {value}}
        found.append(Varied(tuple(keys), rest, context, dict(_by_method(records, keys))))
    axes = [each for each in found if each.is_axis]
    return sorted(axes, key=lambda each: (-each.points, len(each.context), repr(each.context)))


def setting(record: Record, key: str) -> Any:
    """A record's value of a setting; what the run counted where there was no limit; None where it has none."""
    counted = (record.training or {}).get(AXES[key].counted) if key in AXES else None
    for value in (record.variant.get(key), record.settings.get(key), counted):
        if value is not None:
            return value
    return None


def _known(record: Record, key: str) -> bool:
    return key in record.variant or key in record.settings or setting(record, key) is not None


def _by_method(records: Sequence[Record], keys: Sequence[str]) -> Iterator[tuple[str, Groups]]:
    """Each method that has a variant in ``keys``, in the paper's order, with its records by value."""
    names = {r.method for r in records if set(keys) & set(r.variant)}
    for method in [*METHODS, *sorted(names - set(METHODS))]:
        if method in names:
            groups: Groups = {}
            for record in (r for r in records if r.method == method):
                groups.setdefault(tuple(setting(record, key) for key in keys), []).append(record)
            yield method, dict(sorted(groups.items(), key=lambda item: [rank(value) for value in item[0]]))


def rank(value: Any) -> tuple[bool, bool, float, str]:
    """Numbers by size, then words; None, which stands for all there is, last."""
    is_number = isinstance(value, int | float)
    return value is None, not is_number, float(value) if is_number else 0.0, str(value)
