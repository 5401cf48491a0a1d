"""Before the first step: whether every row fits, what the run will take, and all that may fail in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from pathlib import Path
from typing import Any, cast

from transformers import Trainer

from paft.processes import agreed
from paft.training import checkpoints
from paft.training.batches import Collator, PlanDataset, Row
from paft.training.checkpoints import Progress
from paft.training.config import PaftConfig
from paft.training.packing.check import choose_packing, read_earlier
from paft.training.packing.figures import SAMPLED as COMPARED
from paft.training.packing.figures import CheckInput
from paft.training.packing.layout import Packing
from paft.training.packing.micro import Item
from paft.training.records import claim_folder, rewind_metrics, write_records
from paft.training.saving import try_saving
from paft.training.setup import Job
from paft.training.sharding import numel
from paft.training.stream import Stream
from paft.training.trial import try_optimizer, try_schedule

MOST_RENDERED = 200_000
LONGEST = 128
SAMPLED = 64


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        parameters, trainable: counts of weights.
        examples, epochs, steps: of the whole run; ``step_examples`` is one step's.
        step_tokens: tokens of a step, from a sample, without padding.
        weights, optimizer, activations: bytes on each device; ``activations`` is a rule of thumb.
        micro_tokens: tokens of the largest micro-batch.
    """

    parameters: int
    trainable: int
    examples: int
    epochs: float
    steps: int
    step_examples: int
    step_tokens: int
    weights: int
    optimizer: int
    activations: int
    micro_tokens: int

    def lines(self) -> list[str]:
        """The estimate for people."""
        total = self.weights + self.optimizer + self.activations
        return [
            f"weights: {_count(self.parameters)}, of them trained {_count(self.trainable)}",
            f"stream: {self.examples:,} examples x {self.epochs:g} epochs = {self.steps:,} steps "
            f"of {self.step_examples} examples, about {self.step_tokens:,} tokens each",
            f"memory: about {_bytes(total)} ({_bytes(self.weights)} weights, {_bytes(self.optimizer)} gradients and "
            f"optimiser, {_bytes(self.activations)} activations of {self.micro_tokens:,} tokens)",
        ]


def check_lengths(stream: Stream, dataset: PlanDataset, collator: Collator) -> Item | None:
    """Tokenise the rows of the plan with the most characters; returns the longest that fits, None where none does.

    Rows beyond the first 200,000, and those of an adaptive schedule's later epochs, are met in training alone.

    Raises:
        EncodingError: a row longer than ``max_length`` (unless such rows are dropped); names example and prompt.
        InputError: a row longer than ``batch_tokens``.
    """

    def characters(row: Row) -> int:
        return _characters(dataset.prompts[row.prompt].render(dataset.examples[row.example].slots))

    longest = nlargest(LONGEST, _distinct(islice(stream.known_rows(), MOST_RENDERED)), key=characters)
    items = [item for item in dataset.encode(longest) if item.encoding is not None]
    collated = collator(items)
    if "error" in collated:
        raise collated["error"]
    return max(items, key=lambda item: item.tokens, default=None)


def begin(
    trainer: Trainer, stream: Stream, accepted: frozenset[str], longest: Item | None, resumed: Progress | None
) -> Packing:
    """Try what could fail later, settle how rows are laid out, and claim the run folder.

    Args:
        accepted: the optional inputs that the model takes.
        longest: the longest row of the plan.
        resumed: of the checkpoint that the run goes on from.

    Raises:
        PaftError: what was tried has failed, in all processes.
    """
    job, args, collator = stream.job, stream.job.args, cast(Collator, trainer.data_collator)
    dataset, run = cast(PlanDataset, trainer.train_dataset), Path(str(args.output_dir))
    with agreed():
        try_schedule(trainer, stream.total_steps)
        if args.should_save:
            try_saving(trainer)
    found = choose_packing(
        CheckInput(
            model=trainer.model,
            args=args,
            accelerator=trainer.accelerator,
            accepted=accepted,
            rows=dataset.encode(stream.first_rows(COMPARED)),
            pad_id=collator.pad_id,
            longest=longest,
            sharded=trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled,
        ),
        read_earlier(run) if resumed else None,
    )
    with agreed():
        try_optimizer(trainer)  # after the rows that packing was tried on: some optimisers step in the backward pass
    with agreed():
        if args.process_index == 0:
            _begin_folder(run, job, found, resumed.step if resumed else None)
    return found


def _begin_folder(run: Path, job: Job, packing: Packing, step: int | None) -> None:
    """Claim the run folder and remove what lies beyond the checkpoint that the run goes on from."""
    settings = {n: getattr(job.args, n) for n in ("batch_tokens", "per_device_train_batch_size", "save_steps")}
    claim_folder(run, job.work, {"source": job.task.source, **settings})
    checkpoints.clear(run, after=step or 0)
    rewind_metrics(run, -1 if step is None else step)
    write_records(run, job.prompts, job.args.device, packing.record())


def estimate(model: Any, args: PaftConfig, stream: Stream, dataset: PlanDataset, longest: int) -> Estimate:
    """Size up a run: weights and optimiser are counted, activations and tokens a step are estimated.

    Args:
        longest: tokens of the longest row, see :func:`check_lengths`.
    """
    batches, rows = stream.batches, dataset.encode(stream.first_rows(SAMPLED))
    lengths = [len(item.encoding.input_ids) for item in rows if item.encoding is not None]
    mean = sum(lengths) / max(1, len(lengths))
    steps = stream.total_steps
    trained = [p for p in model.parameters() if p.requires_grad]
    micro = min(args.batch_tokens, args.train_batch_size * longest)
    return Estimate(
        parameters=sum(numel(p) * (2 if _in_four_bits(p) else 1) for p in model.parameters()),
        trainable=sum(numel(p) for p in trained),
        examples=batches.count,
        epochs=steps / batches.steps,
        steps=steps,
        step_examples=batches.step,
        step_tokens=round(mean * min(batches.step, batches.count)),
        weights=sum(numel(p) * p.element_size() for p in model.parameters()),
        optimizer=sum(3 * numel(p) * p.element_size() for p in trained),  # gradient and AdamW's two moments
        activations=micro * _activation_bytes(model.config, args),
        micro_tokens=micro,
    )


def _distinct(rows: Iterable[Row]) -> Iterator[Row]:
    """Each row once."""
    seen: set[int] = set()
    for row in rows:
        key = row.example << 32 | row.prompt
        if key not in seen:
            seen.add(key)
            yield row


def _activation_bytes(config: Any, args: PaftConfig) -> int:
    """Bytes kept for the backward pass by one token: some 12 hidden and 4 MLP vectors a layer."""
    size = 2 if args.bf16 or args.fp16 else 4
    hidden = getattr(config, "hidden_size", 0)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    layers = getattr(config, "num_hidden_layers", 0)
    layer = (12 * hidden + 4 * inner) * size
    return layers * hidden * size + layer if args.recomputes else layers * layer


def _in_four_bits(parameter: Any) -> bool:
    """Whether two weights share a byte, as bitsandbytes packs them."""
    return type(parameter).__name__ == "Params4bit"


def _characters(rendered: Any) -> int:
    return len(rendered) if isinstance(rendered, str) else sum(len(turn["content"]) for turn in rendered)


def _count(number: int) -> str:
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return str(number)


def _bytes(number: int) -> str:
    return f"{number / 2**30:.1f} GB" if number >= 2**30 / 10 else f"{max(1, round(number / 2**20))} MB"
