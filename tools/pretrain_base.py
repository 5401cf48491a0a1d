"""Pretrain the small base model that ships with paft.

Reads every ``.txt`` file of a folder (documents parted by two blank lines), trains a byte-level BPE
tokenizer on it, then a small Llama for one pass over the text. Everything follows from ``--seed``;
a run that is stopped goes on from its last checkpoint when the same command is given again.

    python tools/pretrain_base.py --corpus FOLDER --output runs/base
    python tools/pretrain_base.py --corpus FOLDER --output runs/base --export src/paft/resources/base
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"


@dataclass(frozen=True)
class Settings:
    """Every number that decides the weights."""

    vocab_size: int = 4096
    hidden_size: int = 256
    layers: int = 6
    heads: int = 4
    intermediate_size: int = 768
    sequence: int = 512
    batch: int = 16
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    warmup: float = 0.03
    weight_decay: float = 0.1
    epochs: float = 1.0
    held_out: float = 0.01
    seed: int = 0


def documents(corpus: Path) -> list[str]:
    """The documents of a folder of text, in a fixed order."""
    texts = [p.read_text(encoding="utf-8") for p in sorted(corpus.glob("*.txt"))]
    docs = [d.strip() for text in texts for d in text.split("\n\n\n")]
    docs = [d for d in docs if d]
    if not docs:
        raise SystemExit(f"error: no .txt documents in {corpus}; give --corpus a folder of text")
    return docs


def train_tokenizer(docs: list[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE: every string can be encoded, digits stand alone, one BOS in front."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tok.train_from_iterator(docs, trainer)
    tok.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tok.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tok,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def encode(docs: list[str], tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """One uint16 stream: BOS, document, EOS, again and again."""
    eos = tokenizer.eos_token_id
    parts = [np.array([*ids, eos], dtype=np.uint16) for ids in tokenizer(docs)["input_ids"]]
    return np.concatenate(parts)


def prepare(corpus: Path, out: Path, s: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Tokenizer and token streams, made once and cached in ``out``."""
    if not (out / "valid.npy").exists():
        docs = documents(corpus)
        order = np.random.default_rng(s.seed).permutation(len(docs))
        held = max(1, round(len(docs) * s.held_out))
        train = [docs[i] for i in sorted(order[held:])]
        valid = [docs[i] for i in sorted(order[:held])]
        tokenizer = train_tokenizer(train, s.vocab_size)
        tokenizer.save_pretrained(out / "tokenizer")
        np.save(out / "train.npy", encode(train, tokenizer))
        np.save(out / "valid.npy", encode(valid, tokenizer))
    return np.load(out / "train.npy", mmap_mode="r"), np.load(out / "valid.npy")


def build_model(s: Settings) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=s.vocab_size,
        hidden_size=s.hidden_size,
        num_hidden_layers=s.layers,
        num_attention_heads=s.heads,
        num_key_value_heads=s.heads,
        intermediate_size=s.intermediate_size,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(s.seed)
    return LlamaForCausalLM(config)


def optimizers(model: LlamaForCausalLM, s: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding and the norms."""
    inner = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    outer = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(inner, lr=s.muon_lr, weight_decay=s.weight_decay),
        torch.optim.AdamW(outer, lr=s.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def rate(step: int, steps: int, warmup: float) -> float:
    """Share of the top learning rate: linear warm-up, then a cosine down to a twentieth."""
    first = max(1, round(steps * warmup))
    if step < first:
        return (step + 1) / first
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - first) / max(1, steps - first)))


def batches(stream: np.ndarray, s: Settings, steps: int, start: int) -> Iterator[torch.Tensor]:
    """Batch number ``start`` and on, each (batch, sequence): windows in an order fixed by the seed."""
    windows = len(stream) // s.sequence
    per_epoch = windows // s.batch
    for step in range(start, steps):
        epoch, position = divmod(step, per_epoch)
        order = np.random.default_rng([s.seed, epoch]).permutation(windows)
        picked = order[position * s.batch : (position + 1) * s.batch]
        rows = [stream[w * s.sequence : (w + 1) * s.sequence].astype(np.int64) for w in picked]
        yield torch.from_numpy(np.stack(rows))


@torch.no_grad()
def validation_loss(model: LlamaForCausalLM, stream: np.ndarray, s: Settings, device: str) -> float:
    """Mean loss per token (nats) over the held-out documents."""
    model.eval()
    total, count = 0.0, 0
    for w in range(len(stream) // s.sequence):
        ids = torch.from_numpy(stream[w * s.sequence : (w + 1) * s.sequence].astype(np.int64))
        ids = ids[None].to(device)
        total += float(model(input_ids=ids, labels=ids).loss) * (s.sequence - 1)
        count += s.sequence - 1
    model.train()
    return total / count


def save_atomically(state: dict[str, Any], path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


@dataclass
class Run:
    """What a checkpoint holds, beside the model: where the run stands and what it has cost."""

    model: LlamaForCausalLM
    opts: list[torch.optim.Optimizer]
    settings: Settings
    checkpoint: Path
    step: int = 0
    seconds: float = 0.0

    def save(self) -> None:
        state = {
            "settings": asdict(self.settings),
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizers": [opt.state_dict() for opt in self.opts],
        }
        save_atomically(state, self.checkpoint)

    def resume(self, device: str) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location=device, weights_only=True)
        if state["settings"] != asdict(self.settings):
            raise SystemExit(f"error: {self.checkpoint} belongs to other settings; give another --output")
        self.model.load_state_dict(state["model"])
        for opt, saved in zip(self.opts, state["optimizers"], strict=True):
            opt.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]


def optimise(run: Run, forward: Any, ids: torch.Tensor, share: float) -> float:
    """One step on ``ids`` (batch, sequence) at ``share`` of the top learning rates; returns the loss in nats."""
    for opt, top in zip(run.opts, (run.settings.muon_lr, run.settings.adam_lr), strict=True):
        for group in opt.param_groups:
            group["lr"] = top * share
    with torch.autocast(ids.device.type, dtype=torch.bfloat16):
        loss = forward(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    for opt in run.opts:
        opt.step()
        opt.zero_grad(set_to_none=True)
    return float(loss)


def train(args: argparse.Namespace, s: Settings) -> LlamaForCausalLM:
    out = Path(args.output)
    out.mkdir(parents=True, exist_ok=True)
    stream, valid = prepare(Path(args.corpus), out, s)
    steps = int(len(stream) // s.sequence // s.batch * s.epochs)
    model = build_model(s).to(args.device)
    run = Run(model, optimizers(model, s), s, out / "checkpoint.pt")
    run.resume(args.device)
    count = sum(p.numel() for p in model.parameters())
    print(f"{count / 1e6:.2f} M parameters, {len(stream):,} tokens, step {run.step} of {steps}", flush=True)
    forward = torch.compile(model) if args.compile else model
    model.train()
    first, before, started = run.step, run.seconds, time.monotonic()
    with (out / "metrics.jsonl").open("a", encoding="utf-8") as log:
        for ids in batches(stream, s, steps, run.step):
            loss = optimise(run, forward, ids.to(args.device), rate(run.step, steps, s.warmup))
            run.step += 1
            spent = time.monotonic() - started
            run.seconds = before + spent
            if run.step % args.log_every == 0 or run.step == steps:
                speed = (run.step - first) * ids.numel() / spent
                line = {"step": run.step, "loss": round(loss, 4), "tokens_per_second": round(speed)}
                print(json.dumps(line), file=log, flush=True)
                print(line, f"{(steps - run.step) * ids.numel() / speed / 60:.0f} min left", flush=True)
            if run.step % args.save_every == 0 or run.step == steps:
                run.save()
    result = {
        "validation_loss": round(validation_loss(model, valid, s, args.device), 4),
        "parameters": count,
        "train_tokens": len(stream),
        "validation_tokens": len(valid),
        "steps": steps,
        "minutes": round(run.seconds / 60, 1),
        "settings": asdict(s),
    }
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result), flush=True)
    return model


def export(model: LlamaForCausalLM, out: Path, target: Path) -> None:
    """Weights in bfloat16 and the tokenizer, as a plain model folder."""
    model.bfloat16().save_pretrained(target)
    PreTrainedTokenizerFast.from_pretrained(out / "tokenizer").save_pretrained(target)
    for file in target.iterdir():
        file.chmod(0o644)  # safetensors writes for its owner alone
    print(f"wrote {target}: {sum(f.stat().st_size for f in target.iterdir()) / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--corpus", required=True, help="folder of .txt files")
    parser.add_argument("--output", required=True, help="folder for checkpoints, tokenizer and metrics")
    parser.add_argument("--export", help="write the finished model folder here")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model (needs a C++ compiler)")
    parser.add_argument("--log-every", type=int, default=20)
    parser.add_argument("--save-every", type=int, default=100)
    for f in fields(Settings):
        parser.add_argument(f"--{f.name.replace('_', '-')}", type=type(f.default), default=f.default)
    args = parser.parse_args()
    settings = Settings(**{f.name: getattr(args, f.name) for f in fields(Settings)})
    model = train(args, settings)
    if args.export:
        export(model, Path(args.output), Path(args.export))


if __name__ == "__main__":
    main()
