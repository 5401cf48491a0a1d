"""How a table is told apart: header lines, delimiters and quotes, read right or asked for."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paft.errors import DataError, InputError, PaftError
from paft.tasks import SPLITS, load_task
from paft.tasks.dialect import Told
from paft.tasks.guess import Hints
from paft.tasks.init import InitReport, init_task

TEXTS = ("the kettle leaks at its lid", "a parcel came without the stand", "my card was charged for it twice")
LABELS = ("fault", "money")


def written(path: Path, header: str, rows: list[list[str]], **style: str) -> Path:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", **style).writerows(rows)
    path.write_text((header + "\n" if header else "") + out.getvalue(), encoding="utf-8")
    return path


def rows_of(count: int = 24) -> list[list[str]]:
    return [[f"{TEXTS[n % 3]}, number {n}", LABELS[n % 2]] for n in range(count)]


def read_back(report: InitReport) -> list[list[str]]:
    task = load_task(report.task_file)
    found = [example for split in SPLITS for example in task.examples(split)]
    found.sort(key=lambda example: int(example.id.split(":")[-1]) if ":" in example.id else int(example.id))
    return [[*example.slots.values(), example.answer] for example in found]


@pytest.mark.parametrize(
    "header",
    [
        "Unnamed: 0,text,label",
        "#,Text,Label",
        ",text,label",
        "row #,what they wrote,what it is",
        "№,Kundenbrief,Abteilung",
    ],
)
def test_headers_beside_a_column_of_numbers(tmp_path: Path, header: str) -> None:
    rows = rows_of()
    path = written(tmp_path / "t.csv", header, [[str(n), *row] for n, row in enumerate(rows)])
    report = init_task(path, tmp_path / "out")
    assert read_back(report) == rows
    assert not any("no header line" in line for line in report.guesses)


@pytest.mark.parametrize(
    "header",
    [
        "Customer's message,Label",
        "Q&A text,category",
        "2023 review,label",
        '"In your own words, what went wrong with it?",Rating (pick one)',
        "Kommentar,Kategorie",
        "wording/raw,2nd opinion",
        "text,money_or_fault",
    ],
)
def test_headers_of_any_wording(tmp_path: Path, header: str) -> None:
    rows = rows_of()
    report = init_task(written(tmp_path / "t.csv", header, rows), tmp_path / "out")
    assert read_back(report) == rows
    assert sorted(load_task(report.task_file).answers) == sorted(LABELS)


def test_a_column_may_be_called_as_its_values_are(tmp_path: Path) -> None:
    rows = rows_of()
    path = written(tmp_path / "t.csv", "money,text", [[label, text] for text, label in rows])
    assert read_back(init_task(path, tmp_path / "out")) == rows


@pytest.mark.parametrize("ids", [True, False])
def test_rows_without_a_header(tmp_path: Path, ids: bool) -> None:
    rows = rows_of()
    path = written(tmp_path / "t.csv", "", [[str(n), *row] if ids else row for n, row in enumerate(rows)])
    report = init_task(path, tmp_path / "out")
    assert read_back(report) == rows
    assert any("no header line: the first line reads like data" in line for line in report.guesses)


def test_a_first_line_that_may_be_either_is_asked_for(tmp_path: Path) -> None:
    asked = [f"how do I mend the {n} kettle at home" for n in range(20)]
    answers = [f"take the lid {n} off and clean it well" for n in range(20)]
    path = written(tmp_path / "t.csv", "", [*map(list, zip(asked, answers, strict=True))])
    with pytest.raises(InputError, match="the first line may name the columns .*'how do I mend the 0.*--header yes or"):
        init_task(path, tmp_path / "out")
    for header, count in (("yes", 19), ("no", 20)):
        column = answers[0] if header == "yes" else "column_2"
        report = init_task(path, tmp_path / header, column, told=Told(header=header))
        assert sum(report.rows.values()) == count


def test_a_header_that_stands_in_the_middle_again(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "text,label", [*rows_of(12), ["text", "label"], *rows_of(12)])
    with pytest.raises(DataError, match="line 14: the header stands here again; remove this line"):
        init_task(path, tmp_path / "out")


def test_a_name_that_stands_twice(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "text,label,label", [[*row, row[1]] for row in rows_of()])
    with pytest.raises(DataError, match="line 1: the header names label more than once"):
        init_task(path, tmp_path / "out")


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_the_delimiter_is_what_parts_every_line_alike(tmp_path: Path, mark: str) -> None:
    """Every text holds two commas or none, so that commas are the commonest sign and part nothing."""
    rows = [[f"{text}, you see, {n}" if n % 2 else text, LABELS[n % 2]] for n, text in enumerate(TEXTS * 8)]
    report = init_task(written(tmp_path / "t.csv", f"text{mark}label", rows, delimiter=mark), tmp_path / "out")
    assert read_back(report) == rows
    assert any(f"delimiter: {mark!r}, which parts every line alike" in line for line in report.guesses)


def test_two_delimiters_that_part_every_line_alike(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text, as sent;label\n" + "".join(f"a cup, {n};{LABELS[n % 2]}\n" for n in range(20)))
    with pytest.raises(InputError, match="by comma into 2 fields and by semicolon into 2 fields; .*--delimiter"):
        init_task(path, tmp_path / "out")
    report = init_task(path, tmp_path / "out", told=Told(delimiter=";"))
    assert read_back(report)[3] == ["a cup, 3", "money"]


def test_a_first_line_that_names_the_delimiter(tmp_path: Path) -> None:
    rows = rows_of()
    path = written(tmp_path / "t.csv", "sep=;\ntext;label", rows, delimiter=";")
    report = init_task(path, tmp_path / "out")
    assert read_back(report) == rows
    assert any("delimiter: ';', as the first line says" in line for line in report.guesses)
    path.write_text(path.read_text() + "a;b;c\n")
    with pytest.raises(DataError, match="line 27: expected 2 fields"):
        load_task(report.task_file).examples("train")


def test_a_quoted_tsv(tmp_path: Path) -> None:
    rows = [[f'they said "no" {n}\ttwice' if n % 2 else f"plain {n} text", LABELS[n % 2]] for n in range(20)]
    report = init_task(written(tmp_path / "t.tsv", "text\tlabel", rows, delimiter="\t"), tmp_path / "out")
    assert read_back(report) == rows
    rows = [[f"{text} ({n})", LABELS[n % 2]] for n, text in enumerate(TEXTS * 8)]
    path = tmp_path / "all.tsv"
    path.write_text('"text"\t"label"\n' + "".join(f'"{text}"\t"{label}"\n' for text, label in rows))
    assert read_back(init_task(path, tmp_path / "all")) == rows


def test_quotes_that_belong_to_the_text(tmp_path: Path) -> None:
    rows = [[('"odd' if n % 3 else f'so he said "{n}" again'), LABELS[n % 2]] for n in range(20)]
    path = tmp_path / "t.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    assert read_back(init_task(path, tmp_path / "out")) == rows


def test_quotes_that_may_be_either_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    texts = [f'"a fine film {n}"' if n % 4 == 0 else f"a fine film {n}" for n in range(20)]
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{LABELS[n % 2]}\n" for n, text in enumerate(texts)))
    with pytest.raises(InputError, match=r"5 of 42 fields stand in quotes.*--quote '\"'.*--quote none"):
        init_task(path, tmp_path / "out")
    for quote, first in (('"', "a fine film 0"), ("none", '"a fine film 0"')):
        report = init_task(path, tmp_path / f"q{len(quote)}", told=Told(quote=quote))
        assert read_back(report)[0][0] == first


def test_single_quotes(tmp_path: Path) -> None:
    rows = rows_of()
    path = written(tmp_path / "t.csv", "'text','label'", rows, quotechar="'", quoting=csv.QUOTE_ALL)
    report = init_task(path, tmp_path / "out")
    assert read_back(report) == rows
    assert 'quote: "\'"' in report.task_file.read_text()
    path.write_text("text,label\n" + "".join(f"'it's number {n}','{LABELS[n % 2]}'\n" for n in range(20)))
    with pytest.raises(InputError, match="whole columns stand in single quotes"):
        init_task(path, tmp_path / "other")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Told(delimiter="ab"), "--delimiter is 'ab'; expected one character, or tab"),
        (Told(quote="''"), "--quote is \"''\"; expected one character"),
        (Told(delimiter=";", quote=";"), "--quote is ';'; expected one character that is not the delimiter"),
    ],
)
def test_what_cannot_be_told(tmp_path: Path, told: Told, words: str) -> None:
    path = written(tmp_path / "t.csv", "text,label", rows_of())
    with pytest.raises(InputError, match=words):
        init_task(path, tmp_path / "out", told=told)


def test_what_is_told_of_a_file_that_has_none(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "a b", "label": "x"}\n' * 12)
    with pytest.raises(InputError, match="--header is for text tables; a jsonl file has none"):
        init_task(tmp_path / "t.jsonl", tmp_path / "out", told=Told(header="no"))


CELLS = st.text(st.sampled_from("ab ,;\t|\"'\n…é"), min_size=1, max_size=12).filter(str.strip)


@settings(max_examples=50)
@given(
    cells=st.lists(CELLS, min_size=12, max_size=16),
    mark=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    suffix=st.sampled_from(["csv", "tsv"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_writer_wrote_is_read_back_or_refused(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str], mark: str, quoting: int, suffix: str, encoding: str
) -> None:
    """Any cells, by any delimiter, quoted where needed or always, whatever the file is called: never altered."""
    rows = [[cell, LABELS[n % 2]] for n, cell in enumerate(cells)]
    folder = tmp_path_factory.mktemp("t")
    path = folder / f"t.{suffix}"
    with path.open("w", newline="", encoding=encoding) as out:
        csv.writer(out, delimiter=mark, quoting=quoting).writerows([["text", "label"], *rows])
    try:
        report = init_task(path, folder / "out", hints=Hints(answer="label", slots=["text"]))
    except PaftError:
        return
    assert read_back(report) == rows
