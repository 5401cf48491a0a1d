"""Made-up rows in the benchmarks' official files, and a tiny random model built as LLaMA3-8B is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from paft.cli.compare import VERB, Options, make_grids
from paft.cli.options import options_of
from paft.cli.parser import Group, Parser

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes"
THINGS = ("kettle", "ladder", "garden hose", "bicycle", "blanket", "window", "drawer", "lantern")
DEEDS = ("cleaned", "moved", "mended", "painted", "weighed", "covered")


def parse_options(recipe: str | Path, *words: object) -> Options:
    """The options of ``paft compare --config RECIPE WORDS``; a name is that of a file in recipes/."""
    argv = ["--config", str(RECIPES / recipe), "--output", "out", *map(str, words)]
    return Options(**Parser(VERB.name, [Group("options", options_of(Options))]).parse(argv))


def parse(recipe: str | Path, *words: object) -> dict[str, Any]:
    """The grids of the same call, by task."""
    return {grid.task.name: grid for grid in make_grids(parse_options(recipe, *words))}


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_labels(path: Path, labels: Iterable[object]) -> None:
    path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")


def thing(i: int) -> str:
    return f"{THINGS[i % len(THINGS)]} {i}"


def write_piqa(folder: Path, stem: str, rows: int) -> None:
    asked = [
        {"goal": f"get the {thing(i)} {DEEDS[i % 6]}", "sol1": f"use {i} cloths", "sol2": f"use {i} stones"}
        for i in range(rows)
    ]
    write_jsonl(folder / f"{stem}.jsonl", asked)
    write_labels(folder / f"{stem}-labels.lst", (i % 2 for i in range(rows)))


def write_hellaswag(folder: Path, stem: str, rows: int) -> None:
    made = [
        {
            "ind": i, "activity_label": "Housework", "ctx_a": f"Someone has {DEEDS[i % 6]} the {thing(i)}.",
            "ctx_b": "they", "ctx": f"Someone has {DEEDS[i % 6]} the {thing(i)}. they", "source_id": f"made~{i}",
            "split": stem, "split_type": "indomain", "label": i % 4,
            "endings": [f"look at it {i} times.", "go home.", "[step] begin again.", "call a friend."],
        }
        for i in range(rows)
    ]  # fmt: skip
    write_jsonl(folder / f"hellaswag_{stem}.jsonl", made)


def write_winogrande(folder: Path, stem: str, rows: int) -> None:
    made = [
        {
            "qID": f"made{i}", "sentence": f"The {thing(i)} did not fit the shelf as the _ was too big.",
            "option1": THINGS[i % 8], "option2": "shelf", "answer": str(1 + i % 2),
        }
        for i in range(rows)
    ]  # fmt: skip
    write_jsonl(folder / f"{stem}.jsonl", made)
    write_labels(folder / f"{stem}-labels.lst", (1 + i % 2 for i in range(rows)))


def write_race(folder: Path, rows: int, name: str = "1.txt", article: str = "A kettle stood in the garden.") -> None:
    made = {
        "id": name,
        "article": article,
        "questions": [f"What was done to the {thing(i)}?" for i in range(rows)],
        "options": [[f"It was {deed}." for deed in DEEDS[:4]] for _ in range(rows)],
        "answers": ["ABCD"[i % 4] for i in range(rows)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(made), encoding="utf-8")


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """``rows -> folder`` with the official files of all four benchmarks: that many training rows, 12 others.

    In RACE, the last article of the high level is longer than 1,024 tokens in every split, with two questions.
    """
    made: dict[int, Path] = {}

    def make(rows: int) -> Path:
        if rows not in made:
            root = tmp_path_factory.mktemp("official")
            for stem, count in (("train", rows), ("valid", 12)):
                write_piqa(root / "piqa", stem, count)
            for stem, count in (("train", rows), ("val", 12)):
                write_hellaswag(root / "hellaswag", stem, count)
            for stem, count in (("train_s", rows // 2), ("train_xl", rows), ("dev", 12)):
                write_winogrande(root / "winogrande", stem, count)
            for split, count in (("train", rows), ("dev", 12), ("test", 12)):
                for level in ("middle", "high"):
                    write_race(root / "race" / "RACE" / split / level, count)
                write_race(root / "race" / "RACE" / split / "high", 2, "2.txt", "The kettle was old. " * 400)
            made[rows] = root
        return made[rows]

    return make


@pytest.fixture(scope="session")
def llama3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with LLaMA3-8B's build (grouped queries, rope theta, untied output, no pad token), made tiny."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    begin, end = "<|begin_of_text|>", "<|end_of_text|>"
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[begin, end], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator((path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))), trainer)
    ids = [(begin, bpe.token_to_id(begin))]
    bpe.post_processor = processors.TemplateProcessing(single=f"{begin} $A", pair=f"{begin} $A $B", special_tokens=ids)
    folder = tmp_path_factory.mktemp("models") / "tiny-llama-3"
    PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=begin, eos_token=end).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=bpe.get_vocab_size(), hidden_size=32, intermediate_size=112, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=1, max_position_embeddings=8192, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0}, tie_word_embeddings=False,
        bos_token_id=0, eos_token_id=1, pad_token_id=None, dtype="bfloat16",
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder
