"""The plan of an epoch: which example meets which prompt at each position, as data.

It is written before the epoch is trained on, so that a run can be read, checked and replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from paft.errors import DataError, InputError, MissingFileError, OutputError
from paft.files import atomic_path
from paft.schedule import Schedule
from paft.tasks.ids import Ids, as_array
from paft.tasks.sampling import IN_MEMORY

SCHEMA = pa.schema(
    [("epoch", pa.int32()), ("position", pa.int64()), ("example_id", pa.string()), ("prompt_id", pa.string())]
)


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """One epoch of the training stream; the sequences run over positions.

    Attributes:
        epoch: counted from 0.
        example_ids: the example trained on at each position; every example once.
        prompt_ids: the prompt it is rendered with.
    """

    epoch: int
    example_ids: Sequence[str]
    prompt_ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.example_ids)


def make_plan(example_ids: Sequence[str], schedule: Schedule, epoch: int, seed: int) -> EpochPlan:
    """The plan of ``epoch``: a fresh shuffle of the examples, and the prompt of each position.

    Raises:
        InputError: no examples, or a schedule that does not give one prompt a position.
    """
    if not example_ids:
        raise InputError("a plan needs at least one example, found none")
    order = np.random.default_rng([seed, epoch, 0]).permutation(len(example_ids))
    shuffled: Sequence[str]
    shuffled = example_ids.take(order) if isinstance(example_ids, Ids) else [example_ids[i] for i in order.tolist()]
    prompt_ids = list(schedule.assign(epoch, shuffled))
    if len(prompt_ids) != len(shuffled):
        raise InputError(
            f"the schedule {type(schedule).__name__} gave {len(prompt_ids)} prompts for {len(shuffled)} positions; "
            "assign() has to return one prompt id for each"
        )
    return EpochPlan(epoch, shuffled, prompt_ids)


def plan_path(run: Path, epoch: int) -> Path:
    """Where the plan of ``epoch`` stands in a run folder."""
    return run / "plan" / f"epoch-{epoch}.parquet"


def write_plan(plan: EpochPlan, path: Path) -> None:
    """Write a plan as parquet (epoch, position, example_id, prompt_id), whole or not at all."""
    n = len(plan)
    counts = [pa.array(np.full(n, plan.epoch, np.int32)), pa.array(np.arange(n, dtype=np.int64))]
    table = pa.table([*counts, as_array(plan.example_ids), as_array(plan.prompt_ids)], schema=SCHEMA)
    with atomic_path(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_plan(path: Path) -> EpochPlan:
    """Read a plan that ``write_plan`` wrote.

    Raises:
        MissingFileError: no such file.
        DataError: not a plan.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise MissingFileError(f"no such plan: {path}") from None
    except (pa.ArrowException, OSError) as bad:
        raise DataError(f"{path} is not a plan: {str(bad).splitlines()[0]}") from None
    if table.schema.names != SCHEMA.names or table.num_rows == 0:
        raise DataError(f"{path} is not a plan: expected the columns {', '.join(SCHEMA.names)} and at least one row")
    if not np.array_equal(table["position"].to_numpy(), np.arange(table.num_rows)):
        raise DataError(f"{path}: positions must count up from 0; the file was changed")
    epoch = table["epoch"][0].as_py()
    ids = [Ids(table[name].combine_chunks()) for name in ("example_id", "prompt_id")]
    return EpochPlan(epoch, *(ids if table.num_rows > IN_MEMORY else map(list, ids)))


def settle_plan(run: Path, plan: EpochPlan, adaptive: bool) -> EpochPlan:
    """Write ``plan`` into the run folder, or check it against the one that stands there.

    A plan that an adaptive schedule made cannot be made again, so there the written one counts.

    Raises:
        OutputError: the folder holds another plan for this epoch.
    """
    path = plan_path(run, plan.epoch)
    if not path.is_file():
        write_plan(plan, path)
        return plan
    written = read_plan(path)
    if not adaptive and written != plan:
        raise OutputError(
            f"{path} differs from the plan that this data, these prompts and this seed give\n"
            "the run was started with others; give another output folder"
        )
    return written
