"""Import of prompt files: what is mended, what is left out, what is refused, and that all of it is said."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pytest

from paft.errors import DataError, MissingFileError, PaftError
from paft.prompts import PromptSet, import_prompts
from paft.prompts.prompt import default_id

ONE, TWO = "First: {x}\nAnswer:", 'Second, with "quotes", commas; and 🧵: {x}?'


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_xlsx(path: Path, *rows: list[object], sheets: int = 1) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for _ in range(sheets - 1):
        book.create_sheet()
    book.save(path)
    return path


def texts(prompts: PromptSet) -> list[object]:
    return [prompt.text for prompt in prompts]


def test_txt_of_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "First: {x}\\nAnswer:\r\nSecond {x}?\nFirst: {x}\\nAnswer:\n\n\n")
    prompts, report = import_prompts(path)
    assert texts(prompts) == [ONE, "Second {x}?"]
    assert [(c.position, c.action) for c in report.changes] == [(1, "mended"), (3, "duplicate")]
    assert (report.read, report.kept) == (3, 2)
    assert report.counts == {"mended": 1, "duplicate": 1}
    assert "row 1" in report.changes[1].message


def test_txt_of_paragraphs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\nFirst: {x}\nAnswer:\n\n \nSecond {x}?\n")
    prompts, report = import_prompts(path)
    assert texts(prompts) == [ONE, "Second {x}?"]
    assert [(c.action, "paragraph" in c.message) for c in report.changes] == [("note", True)]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_csv_with_other_columns(tmp_path: Path, mark: str) -> None:
    header = mark.join(["id", "text", "model", "group"])
    quoted = TWO.replace('"', '""')
    path = write(tmp_path / "a.csv", f'{header}\n1{mark}"{ONE}"{mark}m-1{mark}\n2{mark}"{quoted}"{mark}m-2{mark}g\n')
    prompts, report = import_prompts(path)
    assert texts(prompts) == [ONE, TWO]
    assert prompts.ids == ["1", "2"]
    assert prompts["2"].source == {"kind": "import", "file": "a.csv", "model": "m-2"}
    assert (prompts["1"].group, prompts["2"].group) == (None, "g")
    assert report.changes == []


def test_csv_positions_are_lines_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "sep.csv", 'sep=;\nid;text\n7;"a; {x}?"\n8;{x\n')
    prompts, report = import_prompts(path, skip_bad=True)
    assert (prompts["7"].text, report.changes[0].position) == ("a; {x}?", 4)
    path = write(tmp_path / "a.csv", 'text\n"a\nb {x}"\n\n"{x"\n')
    with pytest.raises(DataError, match=r"1 of 3 rows cannot be used: row 5: character 0: a '\{' that is not closed"):
        import_prompts(path)
    prompts, report = import_prompts(path, skip_bad=True)
    assert texts(prompts) == ["a\nb {x}"]
    assert [(c.position, c.action) for c in report.changes] == [(4, "empty"), (5, "skipped")]


def test_csv_of_one_column_by_any_name_or_none(tmp_path: Path) -> None:
    prompts, report = import_prompts(write(tmp_path / "a.csv", "wording\nFirst {x}?\n"))
    assert texts(prompts) == ["First {x}?"]
    assert "'wording'" in report.changes[0].message
    prompts, report = import_prompts(write(tmp_path / "b.csv", "First {x}?\nSecond {x}?\n"))
    assert texts(prompts) == ["First {x}?", "Second {x}?"]
    assert "no header" in report.changes[0].message


def test_csv_with_an_unquoted_comma_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 3: expected 1 columns, found 2; quote"):
        import_prompts(write(tmp_path / "a.csv", "text\nok {x}?\none, two {x}?\n"))


def test_xlsx(tmp_path: Path) -> None:
    path = write_xlsx(
        tmp_path / "a.xlsx",
        ["text", "model"],
        ["First: {x}\\nAnswer:", "m"],
        [None, None],
        [TWO, 7],
        [3, "m"],
        sheets=2,
    )
    prompts, report = import_prompts(path, skip_bad=True)
    assert texts(prompts) == [ONE, TWO]
    assert prompts[prompts.ids[1]].source["model"] == 7
    found = [(c.position, c.action) for c in report.changes]
    assert found == [(1, "note"), (2, "mended"), (3, "empty"), (5, "skipped")]
    assert "Sheet1" in report.changes[0].message
    with pytest.raises(
        DataError, match="row 5: expected a key 'text' with a template or a list of messages, found int"
    ):
        import_prompts(path)


def test_yaml(tmp_path: Path) -> None:
    content = """
- "First: {x}\\\\nAnswer:"
- text: |-
    Second
    {x}?
  strategy: zero-shot
  when: 2025-02-03
  weight: .nan
- text: [{role: system, content: "Be brief.\\\\nBe kind."}, {role: user, content: "{x}?"}]
-
- Second {x}?
"""
    prompts, report = import_prompts(write(tmp_path / "a.yaml", content))
    chat = [{"role": "system", "content": "Be brief.\nBe kind."}, {"role": "user", "content": "{x}?"}]
    assert texts(prompts) == [ONE, "Second\n{x}?", chat, "Second {x}?"]
    assert prompts[prompts.ids[1]].source == {
        "kind": "import", "file": "a.yaml", "strategy": "zero-shot", "when": "2025-02-03", "weight": "nan"
    }  # fmt: skip
    assert [(c.position, c.action) for c in report.changes] == [(2, "mended"), (9, "mended"), (10, "empty")]
    prompts.save(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    "id", ["007", "no", "Yes", "on", "12:30", "1e3", "1.50", "0x1F", "1_000", "2024-01-01", "null", "true", "a b"]
)
def test_yaml_keeps_an_id_as_it_is_written(id: str, tmp_path: Path) -> None:
    content = f"- {{id: {id}, text: '{{x}} one', split: no, group: 010}}\n- {{id: '{id}2', text: '{{x}} two'}}\n"
    prompts, _ = import_prompts(write(tmp_path / "a.yaml", content))
    assert prompts.ids == [id, f"{id}2"]
    assert (prompts[id].split, prompts[id].group) == ("no", "010")
    prompts.save(tmp_path / "a.jsonl")
    assert PromptSet.load(tmp_path / "a.jsonl") == prompts


def test_yaml_ids_that_are_not_there(tmp_path: Path) -> None:
    content = (
        "- {id: null, text: '{x} one'}\n- {id: null, text: '{x} two', split: null}\n- {id: ~, text: '{x} three'}\n"
    )
    prompts, _ = import_prompts(write(tmp_path / "a.yaml", content + "- {id: , text: '{x} four'}\n"))
    assert prompts.ids == [default_id(f"{{x}} {n}") for n in ("one", "two", "three", "four")]
    assert [p.split for p in prompts] == [None] * 4


def test_yaml_facts_of_a_source_stay_text(tmp_path: Path) -> None:
    content = "- {text: '{x} one', model: 007, strategy: off, when: 12:30, rating: 3, share: 1e-1, good: true}\n"
    prompts, _ = import_prompts(write(tmp_path / "a.yaml", content))
    facts = {"model": "007", "strategy": "off", "when": "12:30", "rating": 3, "share": 0.1, "good": True}
    assert prompts[prompts.ids[0]].source == {"kind": "import", "file": "a.yaml", **facts}


def test_jsonl_keeps_its_fields(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "text": ONE, "source": {"kind": "llm", "model": "m"}, "split": "test", "note": "kept"},
        {"prompt": TWO},
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    prompts, report = import_prompts(path)
    assert texts(prompts) == [ONE, TWO]
    assert prompts["a"].source == {"kind": "llm", "model": "m", "note": "kept"}
    assert prompts["a"].split == "test"
    assert report.changes == []


def test_an_imported_set_saves_and_loads(tmp_path: Path) -> None:
    prompts, _ = import_prompts(write(tmp_path / "a.txt", "First {x}?\nSecond {x}?\n"))
    prompts.save(tmp_path / "a.jsonl")
    assert PromptSet.load(tmp_path / "a.jsonl") == prompts
    again, report = import_prompts(tmp_path / "a.jsonl")
    assert again == prompts
    assert report.changes == []


def test_the_report_reads_well(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\n".join(f"{i} {{x}}\\n?" for i in range(12)) + "\n0 {x}\\n?")
    _, report = import_prompts(path)
    assert report.lines() == [
        f"{path}: 13 rows read, 12 prompts kept",
        "12 rows had a two-character \\n, now a line break (row 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …)",
        "1 rows repeated an earlier text and were left out (row 13)",
    ]


def test_a_repeated_id_with_another_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text\na,First {x}?\na,Second {x}?\n")
    with pytest.raises(DataError, match="row 3: id 'a' already stands in row 2"):
        import_prompts(path)


@pytest.mark.parametrize(
    ("name", "content", "error", "reason"),
    [
        ("absent.csv", None, MissingFileError, "no such file"),
        ("absent.xlsx", None, MissingFileError, "no such file"),
        ("a.docx", b"x", DataError, r"cannot import .docx; expected .txt .csv"),
        ("noname", b"x", DataError, "a file without a suffix"),
        ("a.txt", b"", DataError, "no prompts"),
        ("a.txt", b"\n \n", DataError, "no prompts"),
        ("a.txt", b"good\n\xff\n", DataError, "line 2: byte 0xff is not utf-8"),
        ("a.csv", b"", DataError, "no rows"),
        ("a.csv", b"text\n", DataError, "no prompts"),
        ("a.csv", b"one,two\nx,y\n", DataError, "expected a column 'text', or one column alone; found one, two"),
        ("a.csv", b'text\n"never closed', DataError, "line 2: not CSV"),
        ("a.csv", b'text\n"closed" too early', DataError, "line 2: not CSV"),
        ("a.xlsx", b"not a workbook", DataError, "not an Excel workbook"),
        ("a.xlsx", b"", DataError, "not an Excel workbook"),
        ("a.yaml", b"", DataError, "expected a YAML list"),
        ("a.yaml", b"text: x", DataError, "expected a YAML list"),
        ("a.yaml", b"- 'x", DataError, "not YAML"),
        ("a.yaml", b"- {goal: 1}", DataError, "row 1: expected text or a mapping with a key text, found dict"),
        ("a.yaml", b"- !!python/object/apply:os.getcwd []", DataError, "not YAML"),
        ("a.jsonl", b"{", DataError, "line 1: expected one JSON object"),
        ("a.jsonl", b'{"a": 1, "b": 2}', DataError, "row 1: no key text among a, b"),
    ],
)
def test_files_that_cannot_be_imported(
    tmp_path: Path, name: str, content: bytes | None, error: type[PaftError], reason: str
) -> None:
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(error, match=reason) as caught:
        import_prompts(tmp_path / name)
    assert caught.value.exit_code == 2
    assert str(tmp_path / name) in str(caught.value)
    assert str(caught.value).count("\n") <= 2


def test_a_zip_that_is_no_workbook(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(DataError, match="not an Excel workbook"):
        import_prompts(tmp_path / "a.xlsx")
