"""Every command and every Python block of the documentation, run as a reader would: paft installed, an empty folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from docs_commands import ROOT, Block, blocks, joined

# in this order, since a page goes on with what an earlier one made
PAGES = ("README.md", "training.md", "sweep.md", "tasks.md", "prompts.md", "selection.md", "compare.md", "report.md")
# what stands for something of the reader's own, or takes long -> what is run for it
INSTEAD: Mapping[str, str] = {
    r"--model MODEL": "--model embedded",
    r'"MODEL"': '"embedded"',
    r"--limit 60(?!.*--quick)": "--limit 4",  # of 3,000 answers 200; an estimate needs more
    r"limit=60": "limit=4",
    r"(paft train .*--output runs/desk-model)": r"\1 --limit 64",
    r"--seeds 0 1 2": "--seeds 0 --methods base user paft --limit 4",  # of seven methods three, once
    r"seeds=\(0, 1, 2\)": "seeds=(0,)",
}
# what is not run -> why; its flags are read all the same, in test_docs.py
NOT_RUN: Mapping[str, str] = {
    r"^make |benchmarks/|\.venv/": "for those who work on paft itself, in a clone",
    r"^(torchrun|accelerate launch) ": "several GPUs or machines, and flags left out as ...",
    r"--backend vllm": "needs vLLM and a GPU",
    r"--backend server|ServerModel\(": "needs a model that is served",
    r"--providers providers\.yaml": "needs a key, a network and money",
}
FAILS: Mapping[str, int] = {
    "--fail-under-min 0.9": 1,  # what it is there to show
    "prompts check runs/templates.jsonl": 2,  # the set was made to hold faults
}
TASK = """name: desk
type: label
files: {train: train.jsonl, test: test.jsonl}
columns: {id: id, slots: [text], answer: label}
labels: [access, billing, delivery, returns]
user_prompt: "Message: {text}\\nDepartment:"
"""


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that paft was installed into from its wheel, alone: nothing of the checkout is on the path."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    flags = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--target", str(target)]
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}  # pip's are its own
    subprocess.run([sys.executable, "-m", "pip", "install", *flags, str(source)], check=True, env=plain)
    return target


@pytest.fixture(scope="module")
def environment(package: Path) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PAFT_")}
    path = os.pathsep.join([str(package / "bin"), str(Path(sys.executable).parent), env["PATH"]])
    return env | {"PYTHONPATH": str(package), "PATH": path, "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder, but for what a reader is told to bring: a table, a task with its rows, records."""
    folder = tmp_path_factory.mktemp("reader")
    demo, prompts = ROOT / "src/paft/resources/demo", folder / "prompts"
    rows = [json.loads(line) for line in (demo / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    some = [row for n, row in enumerate(rows) if n % 13 == 0]
    quoted = ['"' + str(row["text"]).replace('"', '""') + f'",{row["label"]}' for row in some]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *quoted]) + "\n", encoding="utf-8")
    (folder / "task.yaml").write_text(TASK, encoding="utf-8")
    write_lines(folder / "data/train.jsonl", some[:40])
    write_lines(folder / "data/test.jsonl", some[40:52])
    prompts.mkdir()
    for name in ("train", "test"):
        lines = (demo / f"prompts-{name}.jsonl").read_text(encoding="utf-8").splitlines()[:8]
        (prompts / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for n, split in enumerate(("train", "validation")):
        piqa = [
            {"goal": f"open jar {n}{i}", "sol1": f"turn lid {i}", "sol2": f"eat lid {i}", "label": i % 2}
            for i in range(8)
        ]
        for where in ("DATA", "data/piqa"):
            write_lines(folder / where / f"{split}.jsonl", piqa)
    for name in ("trec", "sst2"):
        for where in (name, "both"):
            shutil.copytree(
                ROOT / "results" / name / "records", folder / "runs" / where / "records", dirs_exist_ok=True
            )
    return folder


def why_not(text: str) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, text)), None)


def instead(text: str) -> str:
    for pattern, other in INSTEAD.items():
        text = re.sub(pattern, other, text)
    return text


def commands(text: str) -> str:
    """A shell block to be run to its end or its first fault; a command of FAILS has to end as said there."""
    lines = []
    for line in joined(text):
        code = next((code for call, code in FAILS.items() if call in line), 0)
        if why_not(line):
            continue
        ran = instead(line)
        lines.append(f"code=0; {ran.split('  #')[0]} || code=$?; test $code = {code}" if code else ran)
    return "\n".join(["set -eu", *lines])


def run(argv: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{argv[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def told() -> list[Block]:
    """The blocks that are run, in order."""
    found = [block for page in PAGES for block in blocks("sh", "python", "") if block.page == page]
    return [b for b in found if b.kind or "paft " in b.text]


@pytest.mark.slow
def test_the_package_is_the_installed_one(package: Path, folder: Path, environment: dict[str, str]) -> None:
    run([sys.executable, "-c", f"import paft; assert paft.__file__.startswith({str(package)!r})"], folder, environment)
    run(["bash", "-c", f'test "$(command -v paft)" = {package}/bin/paft'], folder, environment)


@pytest.mark.slow
@pytest.mark.parametrize("block", told(), ids=lambda block: f"{block.page}-{block.kind or 'sh'}")
def test_a_reader_can_do_it(block: Block, folder: Path, environment: dict[str, str]) -> None:
    if block.kind == "python":
        if why := why_not(block.text):
            pytest.skip(why)
        run([sys.executable, "-c", instead(block.text)], folder, environment)
    else:
        run(["bash", "-c", commands(block.text)], folder, environment)


def test_every_page_with_commands_is_run() -> None:
    others = {
        "cli.md",
        "results.md",
    }  # examples of --help; how the committed results were made, in a clone and in hours
    assert {block.page for block in blocks("sh", "python")} <= {*PAGES, *others}


@pytest.mark.parametrize("pattern", [*INSTEAD, *NOT_RUN, *map(re.escape, FAILS)])
def test_every_exception_is_used(pattern: str) -> None:
    assert any(re.search(pattern, line) for block in told() for line in joined(block.text))
