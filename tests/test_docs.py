"""The documentation says what the code does: links, commands, task files and Python names are checked."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from docs_commands import PAGES, blocks, calls, parse

from paft.tasks import load_task

ROOT = Path(__file__).resolve().parents[1]
IN_A_CLONE = {"embedded-model.md": "how the embedded model was made, by a tool that is not installed"}


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that the headings of a page make."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_page_of_the_command_line_is_up_to_date():
    tool = [sys.executable, str(ROOT / "tools" / "cli_pages.py"), "--check"]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text) + re.findall(r'src="(?!https?:)([^"]+)"', text):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize(("page", "call"), list(calls()))
def test_commands_have_the_flags_they_use(page, call):
    parse(call)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_read_from_the_source_tree(page):
    if page.name not in IN_A_CLONE:
        assert not re.search(r"\bsrc/paft", page.read_text(encoding="utf-8")), "who installs paft has no src/"


@pytest.mark.parametrize("block", [b for b in blocks("yaml") if re.search(r"^type:", b.text, re.MULTILINE)])
def test_task_files_are_valid(block, tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text(block.text, encoding="utf-8")
    assert load_task(path).slots


@pytest.mark.parametrize("block", blocks("python"))
def test_python_names_exist(block):
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "paft":
            module = import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []
