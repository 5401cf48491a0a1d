"""``paft report``: every table, picture and the page of one or more comparisons, from saved records only."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from paft.errors import DataError, InputError, OutputError
from paft.files import atomic_writer, check_place
from paft.report.ablations import ablation_sheets
from paft.report.accuracy import accuracy_sheets
from paft.report.comparison import Comparison
from paft.report.costs import inference, prompt_sources, selections, training
from paft.report.facts import failures, samples, settings
from paft.report.paper_sheets import paper_sheets
from paft.report.render import FORMATS as TABLES
from paft.report.render import markdown, markdown_text
from paft.report.sheet import Sheet
from paft.report.verdict import Verdict, verdict

PICTURES = ("png", "svg", "pdf")
FORMATS = ("md", "tex", "csv", *PICTURES, "html")
DEFAULT = ("md", "tex", "csv", "png", "svg", "html")


@dataclass(frozen=True)
class Report:
    """What a report holds.

    Attributes:
        output: its folder.
        verdicts: one for each task that has more than ablations.
        sheets: its tables, those of the paper left out.
        files: what was written, in the order of writing.
    """

    output: Path
    verdicts: Sequence[Verdict]
    sheets: Sequence[Sheet]
    files: Sequence[Path]


def report(
    folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    formats: Sequence[str] = DEFAULT,
    tasks: Sequence[str] | None = None,
) -> Report:
    """Write the report of one or more output folders of ``paft compare``.

    Args:
        folders: where the records are.
        output: folder of the report; ``report`` in the first of ``folders`` where not given.
        formats: of ``md``, ``tex``, ``csv``, ``png``, ``svg``, ``pdf`` and ``html``; none of them writes nothing.
        tasks: the tasks to report on; all where not given.

    Raises:
        InputError: an unknown format or task.
        MissingFileError: a folder without records.
        DataError: a damaged record, or records that cannot be compared.
        OutputError: ``output`` is a file.
    """
    places = [Path(folders)] if isinstance(folders, str | os.PathLike) else [Path(f) for f in folders]
    if not places:
        raise InputError("a report needs at least one folder of paft compare, found none")
    unknown = [f for f in formats if f not in FORMATS]
    if unknown:
        raise InputError(f"unknown format {unknown[0]!r}; expected some of {', '.join(FORMATS)}")
    comparison = only_tasks(Comparison.load(places), tasks)
    _refuse_doubles(comparison)
    target = places[0] / "report" if output is None else Path(output)
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file; give a folder as output")
    check_place(target)
    verdicts = [verdict(comparison, task) for task in _compared(comparison)]
    sheets = all_sheets(comparison)
    return Report(target, verdicts, sheets, _write(comparison, target, formats, verdicts, sheets))


def all_sheets(comparison: Comparison) -> list[Sheet]:
    """Every table that the records give, in the paper's order."""
    tasks = _compared(comparison)
    sheets = [*accuracy_sheets(comparison, tasks), inference(comparison, tasks)] if tasks else []
    sheets += ablation_sheets(comparison, list(comparison.tasks))
    if tasks:
        sheets += [samples(comparison, tasks), *settings(comparison, tasks), *training(comparison, tasks)]
        sheets += [*prompt_sources(comparison, tasks), *selections(comparison, tasks)]
    return sheets + failures(comparison, list(comparison.tasks))


def only_tasks(comparison: Comparison, tasks: Sequence[str] | None) -> Comparison:
    """The part of a comparison that is about some tasks.

    Raises:
        InputError: a task that has no records.
    """
    if tasks is None:
        return comparison
    for task in tasks:
        if task not in comparison.tasks:
            raise InputError(f"no records of task {task!r}; there are some of {', '.join(comparison.tasks)}")
    kept = {name: texts for name, texts in comparison.tasks.items() if name in tasks}
    records = [r for r in comparison.records if r.task in kept]
    failed = [f for f in comparison.failures if f.get("task") in kept]
    return replace(comparison, records=records, tasks=kept, failures=failed)


def _compared(comparison: Comparison) -> list[str]:
    """The tasks that have more than ablations."""
    return [task for task in comparison.tasks if comparison.methods(task)]


def _refuse_doubles(comparison: Comparison) -> None:
    keys = Counter((r.task, r.method, r.seed, json.dumps(dict(r.variant), sort_keys=True)) for r in comparison.records)
    for (task, method, seed, variant), count in keys.items():
        if count > 1:
            which = "" if variant == "{}" else f" with {variant}"
            raise DataError(
                f"{count} records of {task}, {method}, seed {seed}{which}; "
                "report folders that hold the same cells one by one"
            )


def _write(
    comparison: Comparison, target: Path, formats: Sequence[str], verdicts: Sequence[Verdict], sheets: Sequence[Sheet]
) -> list[Path]:
    """Everything that was asked for; the Markdown last, which links to the rest."""
    files: list[Path] = []
    quoted = paper_sheets()
    beside = [quoted[number] for number in dict.fromkeys(map(_number, sheets)) if number in quoted]
    for sheet in [*sheets, *beside]:
        for kind in (f for f in TABLES if f in formats):
            files.append(_text(target / "tables" / f"{sheet.name}.{kind}", TABLES[kind](sheet)))
    pictures = [kind for kind in PICTURES if kind in formats]
    drawn: list[Path] = []
    if pictures:
        from paft.report.figures import draw_figures

        drawn = draw_figures(comparison, target / "figures", pictures)
        files += drawn
    if "html" in formats:
        from paft.report.page import write_page

        files.append(write_page(comparison, target / "index.html"))
    if "md" in formats:
        links = [path.relative_to(target).as_posix() for path in drawn]
        page = "index.html" if "html" in formats else None
        files.append(_text(target / "report.md", _page(comparison, verdicts, sheets, quoted, links, page)))
    return files


def _text(path: Path, text: str) -> Path:
    with atomic_writer(path) as out:
        out.write(text)
    return path


def _page(
    comparison: Comparison,
    verdicts: Sequence[Verdict],
    sheets: Sequence[Sheet],
    quoted: dict[str, Sheet],
    pictures: Sequence[str],
    page: str | None,
) -> str:
    """``report.md``."""
    parts = [f"# Comparison on {markdown_text(', '.join(comparison.tasks))}"]
    parts += [f"The same as a page to look around in: [{page}]({page})."] if page else []
    for v in verdicts:
        head = f"**{markdown_text(v.task)}**: " if len(verdicts) > 1 else ""
        parts.append(" ".join([f"{head}{markdown_text(v.sentence)}", *map(markdown_text, v.further)]))
    parts += _links(pictures)
    for number, group in groupby(sheets, key=_number):
        parts += [_section(sheet, 2) for sheet in group]
        parts += [_section(quoted[number], 3)] if number in quoted else []
    for about in comparison.about:
        parts.append("## How it was made")
        if about.get("command"):
            parts.append(_fenced(str(about["command"]), "text"))
        rest = {key: about[key] for key in ("config", "environment") if key in about}
        parts.append(_fenced(json.dumps(rest, indent=2, ensure_ascii=False), "json"))
    return "\n\n".join(parts) + "\n"


def _number(sheet: Sheet) -> str:
    """``table-1`` of every sheet that belongs to Table 1; the sheet's own name where it has no number."""
    found = re.match(r"table-\d+", sheet.name)
    return found[0] if found else sheet.name


def _section(sheet: Sheet, level: int) -> str:
    lead = "- " if len(sheet.notes) > 1 else ""
    notes = "\n".join(lead + markdown_text(note) for note in sheet.notes)
    parts = (f"{'#' * level} {markdown_text(sheet.title)}", markdown(sheet).rstrip(), notes)
    return "\n\n".join(part for part in parts if part)


def _links(pictures: Sequence[str]) -> list[str]:
    """Each picture once, in the format that a Markdown reader shows best; the other formats as links."""
    by_stem: dict[str, list[str]] = {}
    for link in pictures:
        stem, _, kind = link.rpartition(".")
        by_stem.setdefault(stem, []).append(kind)
    parts = []
    for stem, kinds in by_stem.items():
        name = stem.rpartition("/")[2].replace("-", " ")
        shown = next((kind for kind in ("svg", "png") if kind in kinds), None)
        others = ", ".join(f"[{kind}]({stem}.{kind})" for kind in kinds if kind != shown)
        parts.append(f"![{name}]({stem}.{shown})" if shown else f"{name}: {others}")
    return parts


def _fenced(text: str, kind: str) -> str:
    longest = max((len(run) for run in text.split() if set(run) == {"`"}), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text.strip()}\n{fence}"
