"""``paft report`` from the command line and from Python."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from report.making import make_comparison, make_record

from paft.errors import DataError
from paft.report import report

TEXTS = "md,tex,csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_comparison(tmp_path / "pets", methods=("base", "user", "static-mix", "paft"), failures=1)


def test_tables_and_verdict(paft: Callable, folder: Path) -> None:
    done = paft("report", folder, "--formats", TEXTS)
    assert done.code == 0, done.err
    assert "Table 1. Accuracy in %" in done.out
    assert "paft beats user by +" in done.out
    assert "no difference that these seeds could show" in done.out
    assert "no memory" in done.out  # the cell that failed
    names = {p.relative_to(folder / "report").as_posix() for p in (folder / "report").rglob("*") if p.is_file()}
    assert {"report.md", "tables/table-1.tex", "tables/table-1.csv", "tables/paper-table-1.csv"} <= names
    rows = list(csv.reader((folder / "report/tables/table-1.csv").open(encoding="utf-8")))
    assert [r[0] for r in rows] == ["method", "base", "user", "static-mix", "paft", "paft - best other"]
    page = (folder / "report/report.md").read_text(encoding="utf-8")
    assert "paft beats user" in page
    assert "paft compare recipes/pets.yaml --output OUT" in page


def test_the_markdown_links_to_what_is_there(paft: Callable, tmp_path: Path) -> None:
    folder = make_comparison(tmp_path, methods=("user", "paft"), prompts=5, examples=10, sweeps=("unseen",))
    assert paft("report", folder, "--formats", "md,svg,html").code == 0
    page = folder / "report/report.md"
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert any(link.endswith(".svg") for link in links)
    assert "index.html" in links
    for link in links:
        assert (page.parent / link).is_file(), link


def test_several_folders_and_one_task(paft: Callable, folder: Path, tmp_path: Path) -> None:
    other = make_comparison(tmp_path / "more", tasks=("plants",), methods=("user", "paft"))
    done = paft("report", folder, other, "--output", tmp_path / "both", "--formats", "csv")
    assert done.code == 0, done.err
    assert "plants: paft beats user" in done.out
    assert (tmp_path / "both/tables/table-1-plants.csv").is_file()
    one = paft("report", folder, other, "--output", tmp_path / "one", "--formats", "csv", "--task", "plants")
    assert one.code == 0
    assert "pets" not in one.out
    assert not (tmp_path / "one/tables/table-1-plants.csv").exists()  # with one task, table-1 is that of the task


def test_from_python(folder: Path, tmp_path: Path) -> None:
    made = report(folder, tmp_path / "out", formats=["csv"])
    assert made.verdicts[0].winner in ("paft", "static-mix")
    assert made.files
    assert all(path.is_file() for path in made.files)
    assert report([folder], tmp_path / "none", formats=[]).files == []
    assert not (tmp_path / "none").exists()


def test_the_same_records_give_the_same_files(folder: Path, tmp_path: Path) -> None:
    one, two = (report(folder, tmp_path / name, formats=TEXTS.split(",")) for name in ("one", "two"))
    assert [p.read_bytes() for p in one.files] == [p.read_bytes() for p in two.files]


def test_hostile_texts(paft: Callable, tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "bad", methods=("user", "paft"), hostile=True)
    assert paft("report", folder, "--formats", TEXTS).code == 0
    assert "<script>" not in (folder / "report/report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none"], "none holds no records"),
        (["empty"], "empty holds no records"),
        (["damaged"], "paft-seed0.json"),
        (["other"], "is not a record"),
        (["pets", "--formats", "docx"], "unknown format 'docx'; expected some of md, tex"),
        (["pets", "--task", "dogs"], "no records of task 'dogs'; there are some of pets"),
        (["pets", "--output", "file"], "file is a file"),
        (["pets", "twin"], "2 records of pets"),
        ([], "needs FOLDER"),
        (["pets", "--colour"], "unknown flag --colour"),
    ],
)
def test_wrong_inputs(
    paft: Callable, folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    place = folder.parent
    monkeypatch.chdir(place)
    (place / "empty").mkdir()
    (place / "file").write_text("x")
    make_comparison(place / "twin", methods=("base", "user", "static-mix", "paft"))
    for name, text in (("damaged", "{"), ("other", '{"format_version": 2}')):
        (place / name / "records/pets").mkdir(parents=True)
        (place / name / "records/pets/paft-seed0.json").write_text(text)
    done = paft("report", *words)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert said in done.err
    assert len(done.err.splitlines()) <= 3
    assert not (folder / "report").exists()


def test_records_that_cannot_be_compared(folder: Path) -> None:
    make_record(method="paft", seed=7, sizes={"unseen": 5}).save(folder / "records/pets/paft-seed7.json")
    with pytest.raises(DataError, match="other prompts or examples"):
        report(folder, formats=[])
