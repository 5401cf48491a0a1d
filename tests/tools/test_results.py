"""docs/results.md says what the records under results/ say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from paft.report.comparison import Comparison

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "results.py"))
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
NAMES = re.findall(r"^<!-- ([\w-]+) -->$", PAGE, flags=re.MULTILINE)


def test_every_folder_of_records_is_on_the_page() -> None:
    assert sorted(NAMES) == sorted(p.name for p in (ROOT / "results").iterdir())


@pytest.mark.parametrize("name", [n if n == "demo" else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_the_tables_are_those_of_the_records(name: str) -> None:
    block = PAGE.split(f"<!-- {name} -->\n", 1)[1].split(f"<!-- /{name} -->", 1)[0]
    parts = TOOL["tables"](Comparison.load(ROOT / "results" / name))
    assert block.startswith("\n\n".join(parts))
    pictures = re.findall(r"\]\((images/\S+)\)", block)
    assert pictures
    assert all((ROOT / "docs" / place).is_file() for place in pictures)
