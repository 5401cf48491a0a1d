"""The cell store: columns as promised, pieces whole or absent, other work refused, a full disk survived."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paft.errors import DataError, OutputError
from paft.evaluation.cells import Cell, CellStore, read_cells, refuse_other_work

IDENTITY = {"task": "toy", "scoring": "likelihood", "prompts": "abc"}


def cell(prompt: int, example: int, **more) -> Cell:
    fields = {"gold": 1, "prediction": 0, "text": "", "correct": False, "loglik": (-1.5, -2.25), "prompt_tokens": 7}
    return Cell(prompt_id=f"p{prompt}", example_id=f"e{example}", **{**fields, **more})


def test_columns_and_types(tmp_path):
    with CellStore(tmp_path, IDENTITY) as store:
        store.add([cell(0, 0), cell(0, 1, text='" { \n 🙂', loglik=(), prediction=-1, gold=-1, generated_tokens=3)])
    (piece,) = (tmp_path / "cells").iterdir()
    schema = pq.read_schema(piece).remove_metadata()
    assert [(f.name, str(f.type)) for f in schema] == [
        ("prompt_id", "string"),
        ("example_id", "string"),
        ("gold", "int32"),
        ("prediction", "int32"),
        ("text", "string"),
        ("correct", "bool"),
        ("loglik", "list<element: float>"),
        ("prompt_tokens", "int32"),
        ("generated_tokens", "int32"),
    ]
    assert read_cells(tmp_path)[0] == list(store.cells.values())


def test_continues_in_pieces_and_adds_up_the_time(tmp_path):
    for prompt in range(3):
        with CellStore(tmp_path, IDENTITY, flush_seconds=0) as store:
            assert len(store.cells) == 2 * prompt
            store.add([cell(prompt, 0)])
            store.add([cell(prompt, 1)])
    cells, seconds, following = read_cells(tmp_path)
    assert [(c.prompt_id, c.example_id) for c in cells] == [(f"p{p}", f"e{e}") for p in range(3) for e in range(2)]
    assert following == 6
    assert seconds == pytest.approx(store.seconds)
    table = pq.read_table(tmp_path / "cells")  # any reader may take the folder as one table
    keys = list(zip(table["prompt_id"].to_pylist(), table["example_id"].to_pylist(), strict=True))
    assert len(set(keys)) == len(keys) == 6


def test_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with CellStore(None, IDENTITY) as store:
        store.add([cell(0, 0)])
    assert ("p0", "e0") in store
    assert list(tmp_path.iterdir()) == []


def test_half_written_piece_is_never_read(tmp_path):
    with CellStore(tmp_path, IDENTITY) as store:
        store.add([cell(0, 0)])
    piece = next((tmp_path / "cells").iterdir())
    partial = piece.parent / f".{piece.name}.abc.partial"
    partial.write_bytes(piece.read_bytes()[:100])
    with CellStore(tmp_path, IDENTITY) as store:
        assert len(store.cells) == 1
    assert not partial.exists()


def test_damaged_piece_is_named(tmp_path):
    with CellStore(tmp_path, IDENTITY) as store:
        store.add([cell(0, 0)])
    piece = next((tmp_path / "cells").iterdir())
    whole = piece.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"not parquet"):
        piece.write_bytes(broken)
        with pytest.raises(DataError, match=piece.name):
            CellStore(tmp_path, IDENTITY)
    pq.write_table(pa.table({"prompt_id": ["p0"]}), piece)
    with pytest.raises(DataError, match="other columns"):
        CellStore(tmp_path, IDENTITY)


def test_other_work_is_refused(tmp_path):
    with CellStore(tmp_path / "sweep", IDENTITY) as store:
        store.add([cell(0, 0)])
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="its scoring is 'likelihood', not 'generate'") as error:
        CellStore(tmp_path / "sweep", {**IDENTITY, "scoring": "generate"})
    assert error.value.exit_code == 2
    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before
    refuse_other_work(tmp_path / "sweep", {"task": "toy"})  # what is not asked about is not compared

    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("x")
    with pytest.raises(OutputError, match=r"other work \(chapter1.tex\)"):
        CellStore(tmp_path / "thesis", IDENTITY)
    with pytest.raises(OutputError, match="is a file"):
        CellStore(tmp_path / "thesis" / "chapter1.tex", IDENTITY)


def test_two_writers_are_refused(tmp_path):
    with CellStore(tmp_path, IDENTITY), pytest.raises(OutputError, match="another process"):
        CellStore(tmp_path, IDENTITY)
    CellStore(tmp_path, IDENTITY).close()


def test_an_error_keeps_what_is_finished(tmp_path):
    def batches():
        yield cell(0, 0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), CellStore(tmp_path, IDENTITY) as store:
        store.add(batches())
    assert len(read_cells(tmp_path)[0]) == 1


FILL = """
import sys
from paft.errors import RunError
from paft.evaluation.cells import Cell, CellStore
store = CellStore(sys.argv[1], {"task": "toy"}, flush_seconds=0)
done = 0
try:
    for i in range(10_000):
        text = "".join(chr(33 + (i * 7919 + j * j * 31 + j) % 15000) for j in range(8000))
        store.add([Cell("p", f"e{i}", 0, 0, text, True)])
        done += 1
except RunError as error:
    print(done, error)
    raise SystemExit(error.exit_code)
"""


def test_full_disk(tmp_path):
    """A real small disk, mounted in a name space of its own, runs full."""
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode
    ):
        pytest.skip("this machine lets no test mount a small disk")
    script = tmp_path / "fill.py"
    script.write_text(FILL)
    check = textwrap.dedent(
        f"""
        set -e
        mount -t tmpfs -o size=300k none /mnt
        set +e
        {sys.executable} {script} /mnt/sweep; code=$?
        cp -r /mnt/sweep {tmp_path}/kept
        exit $code
        """
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", check], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 1, done.stderr
    count, message = done.stdout.split(" ", 1)
    assert "disk is full" in message
    cells, _, _ = read_cells(tmp_path / "kept")
    assert len(cells) == int(count) > 3
    assert not list((tmp_path / "kept" / "cells").glob(".*"))
