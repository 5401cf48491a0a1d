"""What the sweep benchmark measures on: real rows under real templates where they are at hand, and small models."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from common import shared_data
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from paft.prompts import PromptSet, import_prompts, load_prompts
from paft.tasks import Example, Task, load_task

SHAPE = {"hidden_size": 256, "intermediate_size": 768, "num_attention_heads": 4, "num_key_value_heads": 4}
LAYERS = 6
SHAPES: dict[str, dict[str, int]] = {
    "small": SHAPE | {"num_hidden_layers": LAYERS},
    "smoke": SHAPE | {"num_hidden_layers": 2},
    "llama3-8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32}
    | {"num_key_value_heads": 8, "num_hidden_layers": 32},
}
LLAMA3_VOCABULARY = 128256
WORDS = "the red fox ran over a small hill and saw two old men who talked of rain while cups of tea went cold".split()
LENGTHS = {"goal": 9, "sol1": 18, "sol2": 18, "sentence": 18, "option1": 1, "option2": 1, "article": 230, "ctx": 35}
TEXT_BYTES = 3_000_000  # of the corpus that tokenizers are trained on


@dataclass(frozen=True)
class Place:
    """Which model the workloads are swept with, and where.

    Attributes:
        shape: one of ``SHAPES``; that of Llama 3 has its own vocabulary, not the workload's.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``bfloat16``.
    """

    shape: str = "small"
    device: str = "cpu"
    dtype: str = "float32"


@dataclass(frozen=True)
class Workload:
    """Some examples of a task under all its templates, and the model that they are swept with.

    Attributes:
        scoring: as ``paft.sweep`` takes it.
        data: folder and split of the real rows.
        templates: file of the real templates, or None for the bundled ones.
        examples: how many examples, from the first on: what stands together in the files stays together.
    """

    name: str
    task: str
    scoring: str
    vocabulary: int
    data: tuple[str, str]
    templates: str | None
    examples: int
    room: int | None = None
    ends: bool = False

    @property
    def split(self) -> str:
        return self.data[1]


PIQA, WINOGRANDE, HELLASWAG = (f"prompts/robust_testdataset_{name}.xlsx" for name in ("piqa", "win", "hel"))
RACE_DATA, PIQA_DATA = ("race/RACE", "validation"), ("piqa", "validation")
WORKLOADS = (
    Workload("PIQA letters, 32k", "piqa", "likelihood", 32000, PIQA_DATA, PIQA, 10),
    Workload("WinoGrande letters, 8k", "winogrande", "likelihood", 8192, ("winogrande", "validation"), WINOGRANDE, 20),
    Workload("RACE letters, 8k", "race-middle", "likelihood", 8192, RACE_DATA, None, 8),
    Workload(
        "HellaSwag full continuation, 8k", "hellaswag", "continuation", 8192, ("hellaswag", "train"), HELLASWAG, 4
    ),
)
GENERATION = (
    Workload("PIQA by generation, end tokens", "piqa", "generate", 8192, PIQA_DATA, PIQA, 6, room=16, ends=True),
    Workload("PIQA by generation, no end token", "piqa", "generate", 8192, PIQA_DATA, PIQA, 6, room=16),
)


def load(workload: Workload, quick: bool) -> tuple[Task, PromptSet]:
    """The task, cut to the examples wanted, and its templates."""
    data, (folder, split) = shared_data(), workload.data
    count = 2 if quick else workload.examples
    if data is not None and (data / folder).is_dir():
        task = load_task(workload.task, data / folder)
        rows = list(itertools.islice(task.examples(split), count))
    else:
        task = load_task(workload.task)
        rows = made_up(task, count)
    if data is not None and workload.templates is not None and (data / workload.templates).is_file():
        prompts = import_prompts(data / workload.templates, skip_bad=True)[0]
    else:
        prompts = load_prompts(workload.task, "test")
    fit = [p for p in prompts if all(slot in rows[0].slots for slot in p.template.slots)]
    return replace(task, read=lambda split: rows), PromptSet(fit[:6] if quick else fit)


def made_up(task: Task, count: int) -> list[Example]:
    """Rows of random words, as long as the real ones; four in a row share their longest slot."""
    rng, rows = random.Random(0), []
    longest = max(task.slots, key=lambda slot: LENGTHS.get(slot, 10))
    for i in range(count):
        slots = {slot: " ".join(rng.choices(WORDS, k=LENGTHS.get(slot, 10))) for slot in task.slots}
        if i % 4:
            slots[longest] = rows[-1].slots[longest]
        options = tuple(slots[slot] for slot in task.choices)
        gold = rng.randrange(len(task.answers))
        slots |= {alias: slots[slot] for alias, slot in task.aliases.items()}
        rows.append(Example(f"row:{i}", slots, task.answers[gold], gold, options))
    return rows


def texts(task: Task, prompts: PromptSet) -> Iterator[str]:
    """What a tokenizer is trained on: the task's own rows and templates, and clean prose where it is at hand."""
    for example in task.examples("test"):
        yield from (str(p.render(example.slots)) for p in list(prompts)[:50])
    data = shared_data()
    room = TEXT_BYTES
    for path in sorted((data / "corpus").rglob("*.txt")) if data is not None else ():
        text = path.read_text(encoding="utf-8", errors="replace")[:room]
        room -= len(text)
        yield from text.split("\n\n")
        if room <= 0:
            return


def make_tokenizer(rows: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with BOS in front; of fewer tokens than asked for where the text has no more."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        rows,
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def make_model(workload: Workload, place: Place) -> LlamaForCausalLM:
    """A Llama of random weights, large enough that answers differ."""
    torch.manual_seed(0)
    vocabulary = LLAMA3_VOCABULARY if place.shape == "llama3-8b" else workload.vocabulary
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 2048}
    config = LlamaConfig(**SHAPES[place.shape], **special, vocab_size=vocabulary)
    with torch.device(place.device):  # a large one never stands in float32, nor in the host's memory
        model: LlamaForCausalLM = LlamaForCausalLM._from_config(config, dtype=getattr(torch, place.dtype)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(3)
    model.generation_config.pad_token_id = 0
    model.generation_config.eos_token_id = [2, *range(10, vocabulary, 8)] if workload.ends else 2
    return model
