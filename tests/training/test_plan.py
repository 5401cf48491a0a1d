"""Plans: each example once, written and read back, quick at a million examples."""

from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paft.errors import DataError, InputError, MissingFileError, OutputError
from paft.schedule import FixedSchedule, UniformSchedule
from paft.training import EpochPlan, make_plan, read_plan, write_plan
from paft.training.plan import plan_path, settle_plan

EXAMPLES = [f"train:{i}" for i in range(50)]
SCHEDULE = UniformSchedule(["a", "b", "ü 😀"], 4, seed=0)


def test_every_example_once_in_a_fresh_order():
    plans = [make_plan(EXAMPLES, SCHEDULE, epoch, seed=0) for epoch in range(3)]
    assert all(sorted(p.example_ids) == sorted(EXAMPLES) for p in plans)
    assert len({tuple(p.example_ids) for p in plans}) == 3
    assert plans[1] == make_plan(EXAMPLES, SCHEDULE, 1, seed=0)
    assert plans[1].example_ids != make_plan(EXAMPLES, SCHEDULE, 1, seed=1).example_ids


def test_prompts_change_along_the_stream_not_along_the_file():
    plan = make_plan(EXAMPLES, SCHEDULE, 0, seed=0)
    assert all(len(set(plan.prompt_ids[i : i + 4])) == 1 for i in range(0, 50, 4))
    assert plan.prompt_ids == SCHEDULE.assign(0, plan.example_ids)


def test_columns_and_types_of_the_file(tmp_path):
    plan = make_plan(EXAMPLES, SCHEDULE, 2, seed=0)
    write_plan(plan, plan_path(tmp_path, 2))
    table = pq.read_table(tmp_path / "plan" / "epoch-2.parquet")
    assert [(f.name, str(f.type)) for f in table.schema] == [
        ("epoch", "int32"),
        ("position", "int64"),
        ("example_id", "string"),
        ("prompt_id", "string"),
    ]
    assert table["position"].to_pylist() == list(range(50))
    assert set(table["epoch"].to_pylist()) == {2}
    assert read_plan(plan_path(tmp_path, 2)) == plan
    assert list((tmp_path / "plan").iterdir()) == [plan_path(tmp_path, 2)]


def test_a_plan_on_disk_is_checked_and_kept(tmp_path):
    plan = make_plan(EXAMPLES, SCHEDULE, 0, seed=0)
    other = make_plan(EXAMPLES, SCHEDULE, 0, seed=1)
    assert settle_plan(tmp_path, plan, adaptive=False) == plan
    assert settle_plan(tmp_path, plan, adaptive=False) == plan
    with pytest.raises(OutputError, match="differs from the plan"):
        settle_plan(tmp_path, other, adaptive=False)
    assert settle_plan(tmp_path, other, adaptive=True) == plan


def test_files_that_are_no_plans(tmp_path):
    with pytest.raises(MissingFileError, match="no such plan"):
        read_plan(tmp_path / "none.parquet")
    bad = tmp_path / "bad.parquet"
    bad.write_text("not parquet")
    with pytest.raises(DataError, match="is not a plan"):
        read_plan(bad)
    pq.write_table(pa.table({"epoch": [0]}), bad)
    with pytest.raises(DataError, match="expected the columns epoch, position"):
        read_plan(bad)
    write_plan(EpochPlan(0, ["x", "y"], ["a", "a"]), bad)
    table = pq.read_table(bad).take([1, 0])
    pq.write_table(table, bad)
    with pytest.raises(DataError, match="positions must count up"):
        read_plan(bad)


def test_what_cannot_be_planned():
    with pytest.raises(InputError, match="at least one example"):
        make_plan([], SCHEDULE, 0, seed=0)

    class Short(FixedSchedule):
        def assign(self, epoch, example_ids):
            return [self.prompt_id]

    with pytest.raises(InputError, match="Short gave 1 prompts for 50 positions"):
        make_plan(EXAMPLES, Short("a"), 0, seed=0)


def test_a_million_examples(tmp_path):
    start = time.process_time()
    ids = [f"train:{i}" for i in range(1_000_000)]
    plan = make_plan(ids, SCHEDULE, 0, seed=0)
    write_plan(plan, tmp_path / "plan.parquet")
    assert read_plan(tmp_path / "plan.parquet") == plan
    assert time.process_time() - start < 15
