"""Files of rows: every format, and everything that can be wrong with one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paft.errors import DataError, InputError, MissingFileError
from paft.tasks.rows import Format, cell, cells, read_rows


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(path: Path, how: Format | None = None) -> list[dict]:
    return [row for _, row in read_rows(path, how or Format())]


HARD = ["plain", 'say "hi"', "two\nlines", "{braces} {{and}} \\n", "🦊 naïve", "a,b;c", "x" * 100_000, "", " padded "]


def test_csv_gives_back_what_a_writer_wrote(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["text", "label"], *([text, "1"] for text in HARD)])
    assert [row["text"] for row in values(path)] == HARD


def test_csv_names_the_line_where_a_row_starts(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\n"one\ntwo\nthree",1\nfour,2\n\nfive,3\n')
    assert [where for where, _ in read_rows(path)] == [f"{path}, line {line}" for line in (2, 5, 7)]


def test_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b'\xef\xbb\xbftext,label\r\n"a\r\nb",1\r\nc,2\r\n')
    assert values(path) == [{"text": "a\nb", "label": "1"}, {"text": "c", "label": "2"}]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("text,label\na,1\nb,2,3\n", 3, "expected 2 fields (text, label), found 3"),
        ('text,label\n"a\nb",1\nc\n', 4, "found 1"),
        ('text,label\na,1\n"never closed,2\nb,3\n', 3, "not valid csv"),
        ('text,label\n"a" b,1\n', 2, "not valid csv"),
        ("text,text\na,b\n", 1, "more than once"),
    ],
)
def test_malformed_csv(tmp_path: Path, content: str, line: int, words: str) -> None:
    path = write(tmp_path, "a.csv", content)
    with pytest.raises(DataError) as bad:
        values(path)
    assert f"{path}, line {line}: " in str(bad.value)
    assert words in str(bad.value)


def test_empty_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty; expected a header"):
        values(write(tmp_path, "a.csv", ""))
    assert values(write(tmp_path, "a.jsonl", "\n\n")) == []
    assert values(write(tmp_path, "b.csv", ""), Format(header=("a", "b"))) == []


def test_tsv_keeps_quotes_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", 'text\tlabel\n"odd\t1\nsay "hi"\t0\n')
    assert [row["text"] for row in values(path)] == ['"odd', 'say "hi"']
    with pytest.raises(DataError, match="line 2: expected 2 fields"):
        values(write(tmp_path, "b.tsv", "text\tlabel\na\tb\tc\n"))


def test_quotes_around_tsv_fields(tmp_path: Path) -> None:
    """Read where the format says so, kept where it says that; refused where a file's name is all there is."""
    path = write(tmp_path, "a.tsv", 'text\tlabel\n"say ""hi"" now"\t1\n"two\tfields"\t0\n')
    assert [row["text"] for row in values(path, Format("tsv", quote='"'))] == ['say "hi" now', "two\tfields"]
    with pytest.raises(DataError, match="line 2: .* stands in quotes, .* write `quote: '\"'` .* or `quote: none`"):
        values(path)
    path = write(tmp_path, "b.tsv", 'text\tlabel\n"say ""hi"" now"\t1\n')
    kept = [{"text": '"say ""hi"" now"', "label": "1"}]
    assert values(path, Format(quote="none")) == values(path, Format("tsv")) == kept


def test_other_quotes_in_csv(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n'it''s one, two',1\n")
    assert values(path, Format(quote="'")) == [{"text": "it's one, two", "label": "1"}]
    path = write(tmp_path, "b.csv", 'text,label\n"a" b,1\n')
    assert values(path, Format(quote="none")) == [{"text": '"a" b', "label": "1"}]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "\ufeffsep=;"])
def test_a_first_line_that_names_the_delimiter(tmp_path: Path, first: str) -> None:
    path = write(tmp_path, "a.csv", first + "\r\ntext;label\r\na,b;1\r\n")
    assert list(read_rows(path)) == [(f"{path}, line 3", {"text": "a,b", "label": "1"})]
    assert values(path, Format(delimiter=";", header=("x", "y")))[0] == {"x": "text", "y": "label"}
    assert values(write(tmp_path, "b.csv", "sep,x\n1,2\n")) == [{"sep": "1", "x": "2"}]


def test_a_header_that_stands_again(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\na,1\ntext, label\n")
    with pytest.raises(DataError, match="line 3: the header stands here again; remove this line"):
        values(path)
    assert len(values(path, Format(header=("text", "label")))) == 3


def test_header_and_delimiter_given(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'x;"1;2"\ny;3\n')
    how = Format(header=("text", "label"), delimiter=";")
    assert values(path, how) == [{"text": "x", "label": "1;2"}, {"text": "y", "label": "3"}]


def test_lines_by_pattern(tmp_path: Path) -> None:
    path = write(tmp_path, "a.label", "NUM:dist How far ?\n\nHUM:ind Who ?\n".encode("latin-1"))
    how = Format("lines", "latin-1", pattern=r"(?P<label>[A-Z]+):(?P<fine>\S+) (?P<text>.*)")
    assert list(read_rows(path, how))[1] == (f"{path}, line 3", {"label": "HUM", "fine": "ind", "text": "Who ?"})
    with pytest.raises(DataError, match="line 2: 'nonsense' does not match the pattern"):
        values(write(tmp_path, "b.label", "A:b c\nnonsense\n"), how)


@pytest.mark.parametrize(
    ("line", "words"),
    [('{"a": 1', "one JSON object per line"), ("[1]", "found list"), ("3", "found int"), ("nonsense", "JSON object")],
)
def test_malformed_jsonl(tmp_path: Path, line: str, words: str) -> None:
    path = write(tmp_path, "a.jsonl", '{"a": 1}\n' + line + "\n")
    with pytest.raises(DataError, match="line 2: ") as bad:
        values(path)
    assert words in str(bad.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (3, "3"), (0.5, "0.5"), (True, "true"), (False, "false"), (-1, "-1"), ("", ""), (10**20, str(10**20))],
)
def test_values_become_text_plainly(value, text: str) -> None:
    row = json.loads(json.dumps({"a": value}))
    assert cell("f, line 1", row, "a") == text


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "null"), ([1], "holds a list"), ({}, "holds a dict"), (float("nan"), "nan"), (b"x", "holds a bytes")],
)
def test_values_that_are_no_text(value, words: str) -> None:
    with pytest.raises(DataError, match=f"^f, line 7: column 'a'.*{words}"):
        cell("f, line 7", {"a": value}, "a")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\0b", "NUL character"),
        ("ab\ud83d", r"half of a surrogate pair, \\ud83d, at character 2"),
        ("\udc00é", "at character 0"),
    ],
)
def test_texts_that_no_file_can_hold(value: str, words: str) -> None:
    with pytest.raises(DataError, match=f"^f, line 7: column 'a' holds .*{words}"):
        cell("f, line 7", {"a": value}, "a")
    assert cell("f", json.loads('{"a": "\\ud83d\\ude00"}'), "a") == "😀"


def test_missing_column_and_wrong_lists() -> None:
    with pytest.raises(DataError, match="no column 'b'; found a, c"):
        cell("f", {"a": 1, "c": 2}, "b")
    assert cells("f", {"a": ["x", 1]}, "a", 2) == ("x", "1")
    for row, found in [({"a": ["x"]}, "found 1"), ({"a": "xy"}, "found str"), ({}, "found no such key")]:
        with pytest.raises(DataError, match=f"a list of 2 under 'a', {found}"):
            cells("f", row, "a", 2)
    with pytest.raises(DataError, match=r"column 'a\[1\]' is null"):
        cells("f", {"a": ["x", None]}, "a", 2)


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x", "y"], "label": pa.array([0, 1], pa.int64())}), path)
    assert list(read_rows(path)) == [
        (f"{path}, row 1", {"text": "x", "label": 0}),
        (f"{path}, row 2", {"text": "y", "label": 1}),
    ]
    with pytest.raises(DataError, match="expected a parquet file"):
        values(write(tmp_path, "b.parquet", "not parquet"))
    with pytest.raises(DataError, match="expected a parquet file"):
        values(write(tmp_path, "c.parquet", b""))


def test_files_that_are_not_there_or_not_told(tmp_path: Path) -> None:
    for name in ("no.csv", "no.parquet", "no.jsonl"):
        with pytest.raises(MissingFileError, match=name):
            values(tmp_path / name)
    with pytest.raises(InputError, match="does not tell the format"):
        values(write(tmp_path, "a.dat", "x"))
    with pytest.raises(DataError, match="line 2: byte 0xe9 is not utf-8"):
        values(write(tmp_path, "a.csv", b"text,label\ncaf\xe9,1\n"))
