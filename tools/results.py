"""Write the tables and figures of docs/results.md from the records under results/.

    python tools/results.py

Each folder of results/ is one that ``paft compare`` made, without its runs and texts; the page has a pair of marks for
each, between which its tables stand.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from paft.files import atomic_writer, read_text
from paft.report.comparison import Comparison
from paft.report.figures import draw_figures
from paft.report.render import markdown, markdown_text
from paft.report.reporting import all_sheets
from paft.report.sheet import Sheet
from paft.report.verdict import verdict

ROOT = Path(__file__).resolve().parents[1]
RECORDS, PAGE, IMAGES = ROOT / "results", ROOT / "docs" / "results.md", ROOT / "docs" / "images" / "results"
LEFT_OUT = ("table-2", "table-5", "table-7-prompts")  # times of likelihood sweeps, and what the text above says


def block(name: str) -> str:
    """The tables and figures of one comparison in Markdown."""
    comparison = Comparison.load(RECORDS / name)
    pictures = [f"![{path.stem}](images/results/{name}/{path.name})" for path in draw(comparison, IMAGES / name)]
    return "\n\n".join([*tables(comparison), *pictures])


def tables(comparison: Comparison) -> list[str]:
    """What the records say, in a sentence and in tables."""
    parts = [verdict(comparison, task).sentence for task in comparison.tasks if comparison.methods(task)]
    return parts + [_section(sheet) for sheet in all_sheets(comparison) if not sheet.name.startswith(LEFT_OUT)]


def draw(comparison: Comparison, folder: Path) -> Sequence[Path]:
    """The figures of a comparison, in a folder that holds nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    return draw_figures(comparison, folder, ("svg",))


def _section(sheet: Sheet) -> str:
    notes = " ".join(markdown_text(note) for note in sheet.notes)
    return f"**{markdown_text(sheet.title)}**\n\n{markdown(sheet).rstrip()}" + (f"\n\n{notes}" if notes else "")


def main() -> None:
    page = read_text(PAGE)
    for name in re.findall(r"^<!-- ([\w-]+) -->$", page, flags=re.MULTILINE):
        head, rest = page.split(f"<!-- {name} -->\n", 1)
        _, end, tail = rest.partition(f"<!-- /{name} -->")
        if not end:
            raise SystemExit(f"error: {PAGE} has no <!-- /{name} -->")
        page = f"{head}<!-- {name} -->\n{block(name)}\n{end}{tail}"
    with atomic_writer(PAGE) as out:
        out.write(page)


if __name__ == "__main__":
    main()
