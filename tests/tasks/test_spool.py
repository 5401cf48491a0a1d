"""Many examples wait on disk: they read like those in memory, and so do samples, plans and parts of them."""

from __future__ import annotations

import gc
import json
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest

from paft.errors import DataError, RunError
from paft.schedule import UniformSchedule
from paft.tasks import Example, Task, sampling, spool
from paft.tasks.ids import Ids, places
from paft.tasks.sampling import sample
from paft.tasks.spool import Spooled, ids_of, keep
from paft.training.plan import make_plan, read_plan, settle_plan, write_plan


def made(count: int) -> list[Example]:
    rows = ({"text": f"ü😀 \ud800 {i}" * (i % 5), "hint": ""} for i in range(count))
    return [Example(f"train:{i}", slots, "AB"[i % 2], i % 2, ("x", slots["text"])) for i, slots in enumerate(rows)]


@pytest.fixture(autouse=True)
def few_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (spool, sampling):
        monkeypatch.setattr(module, "IN_MEMORY", 10)
    monkeypatch.setattr(spool, "AT_ONCE", 8)


def spooled(count: int) -> Spooled:
    kept = keep(iter(made(count)))
    assert isinstance(kept, Spooled)
    return kept


def test_few_stay_in_memory_and_many_read_alike() -> None:
    assert keep(made(10)) == tuple(made(10))
    rows, kept = made(37), spooled(37)
    assert len(kept) == 37
    assert list(kept) == rows
    assert [kept[i] for i in (0, 36, -1, -37, 8)] == [rows[i] for i in (0, 36, -1, -37, 8)]
    assert kept[5:30:3] == rows[5:30:3]
    assert list(kept.ids) == list(ids_of(rows)) == [e.id for e in rows]
    for wrong in (37, -38):
        with pytest.raises(IndexError):
            kept[wrong]


def test_a_sample_is_the_same_on_disk_and_in_memory() -> None:
    rows, kept = made(60), spooled(60)
    for limit in (5, 20):
        found = sample(kept, limit)
        assert list(found) == sample(rows, limit)
        assert list(ids_of(found)) == [e.id for e in found]
    again = sample(sample(kept, 40), 15)
    assert list(again) == sample(sample(rows, 40), 15)


def test_a_plan_is_the_same_for_either() -> None:
    ids = [e.id for e in made(30)]
    schedule = UniformSchedule(["a", "b"], 4, seed=3)
    plain, compact = (make_plan(given, schedule, 1, seed=3) for given in (ids, spooled(30).ids))
    assert plain == compact
    assert plain.prompt_ids == compact.prompt_ids
    other = make_plan(ids, schedule, 2, seed=3)
    assert other.example_ids != compact.example_ids


def test_a_long_plan_is_read_back_without_strings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paft.training.plan.IN_MEMORY", 10)
    plan = make_plan(spooled(30).ids, UniformSchedule(["a", "b"], 4), 0, seed=0)
    write_plan(plan, tmp_path / "plan.parquet")
    found = read_plan(tmp_path / "plan.parquet")
    assert isinstance(found.example_ids, Ids)
    assert found == plan
    assert settle_plan(tmp_path, plan, adaptive=False) == settle_plan(tmp_path, plan, adaptive=False)


def test_places_of_ids() -> None:
    known = ["c", "a", "b"]
    assert places(["a", "b", "x", "c"], known).tolist() == [1, 2, -1, 0]
    ids = spooled(20).ids
    assert places(ids.take(np.array([7, 3])), ids).tolist() == [7, 3]
    assert ids == [f"train:{i}" for i in range(20)]
    assert ids != [f"train:{i}" for i in range(19)]
    assert (ids[3], ids[-1], ids[18:25]) == ("train:3", "train:19", ["train:18", "train:19"])


def _read(kept: Spooled, index: int) -> str:
    return kept[index].id


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_the_file_is_shared_with_other_processes_and_goes_in_the_end(method: str) -> None:
    kept = spooled(40)
    path = kept._file.path
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_read, (kept, 33)) == "train:33"
    assert path.is_file()
    again = pickle.loads(pickle.dumps(kept.take(np.array([4, 2]))))
    assert [e.id for e in again] == ["train:4", "train:2"]
    del kept, again
    gc.collect()
    assert not path.exists()


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(RunError, match="set TMPDIR"):
        keep(made(20))


def write(folder: Path, ids: list[str], **more: object) -> Task:
    rows = [{"uid": uid, "text": f"text {i % 17}", "label": "yes"} for i, uid in enumerate(ids)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Task.from_jsonl(
        folder / "train.jsonl",
        slots=["text"],
        answer="label",
        type="label",
        labels={"yes": "yes", "no": "no"},
        id="uid",
        **more,
    )


def test_an_id_that_repeats_far_down_is_named(tmp_path: Path) -> None:
    ids = [f"row {i}" for i in range(30)]
    assert list(ids_of(write(tmp_path, ids).examples("train"))) == ids
    with pytest.raises(DataError, match=r"line 31: the id 'row 4' was used at .*line 5; ids must be unique"):
        write(tmp_path, [*ids, "row 4"]).examples("train")


def test_a_file_is_parted_on_disk_as_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"row {i}" for i in range(60)]
    found = []
    for most in (10, 1000):
        monkeypatch.setattr(spool, "IN_MEMORY", most)
        monkeypatch.setattr(sampling, "IN_MEMORY", most)
        task = write(tmp_path, ids, split={"validation": 0.2, "test": 0.1, "seed": 3})
        found.append({split: list(task.examples(split)) for split in ("train", "validation", "test")})
    assert found[0] == found[1]
    texts = [{e.slots["text"] for e in rows} for rows in found[0].values()]
    assert sum(map(len, texts)) == 17
