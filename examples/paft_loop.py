"""Prompt-agnostic fine-tuning as one flat script: plain transformers and PyTorch, no Trainer, nothing of paft.

    python examples/paft_loop.py                         # the demo's model, rows and prompts
    python examples/paft_loop.py --model gpt2 --lora --train my.jsonl --test my-test.jsonl --answer label \
        --prompts-train prompts/train.jsonl --prompts-test prompts/test.jsonl

It trains a causal language model on rows whose prompt template changes after every K examples (Algorithm 1 of
arXiv 2502.12859), then measures it over templates it has never seen. With the same data, prompts and seed, plan and
losses are those of `paft train --full`, which adds chat templates, memory limits, checkpoints and exact boundaries.
A --prompts-train file with one line makes this ordinary fine-tuning on one prompt.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup

DEMO = Path(__file__).resolve().parents[1] / "src" / "paft" / "resources"
WORDS = "billing=money delivery=post returns=return access=account"  # label in the demo's rows = word to write


# Data: a row is a dict of texts, one of them the answer; a prompt is a text with {slots} named as the row's keys.


def read_rows(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def read_prompts(path: Path) -> list[str]:
    return [row["text"] for row in read_rows(path)]


def fill(prompt: str, row: dict) -> str:
    """Every {slot} replaced by the row's text, in one pass, so that a text is never read as a template."""
    found = re.sub(r"\{\{|\}\}|\{(\w+)\}", lambda m: str(row[m[1]]) if m[1] else m[0][0], prompt)
    return found.rstrip(" \t")


# Tokens: prompt and answer are tokenised as one string; the labels are those tokens that belong to the answer.


def encode(tokenizer, prompt: str, answer: str, end: bool) -> tuple[list[int], list[int]]:
    """Ids and labels of one row; -100 in front of the answer. Training adds the end token, scoring does not."""
    text = prompt + (answer if prompt.endswith("\n") else " " + answer)
    found = tokenizer(text, return_offsets_mapping=True)
    ids = found["input_ids"]
    start = next(i for i, (_, stop) in enumerate(found["offset_mapping"]) if stop > len(prompt))
    ids = [*ids, tokenizer.eos_token_id] if end else ids
    return ids, [-100] * start + ids[start:]


def pad(rows: list[tuple[list[int], list[int]]], device: torch.device) -> dict[str, torch.Tensor]:
    """One batch, padded on the right."""
    width = max(len(ids) for ids, _ in rows)
    room = [width - len(ids) for ids, _ in rows]
    batch = {
        "input_ids": [ids + [0] * n for (ids, _), n in zip(rows, room, strict=True)],
        "attention_mask": [[1] * len(ids) + [0] * n for (ids, _), n in zip(rows, room, strict=True)],
        "labels": [labels + [-100] * n for (_, labels), n in zip(rows, room, strict=True)],
    }
    return {name: torch.tensor(values, device=device) for name, values in batch.items()}


# Algorithm 1.


def plan_epoch(examples: int, prompts: int, epoch: int, k: int, seed: int) -> list[tuple[int, int]]:
    """(example, prompt) at each position: a fresh order of the examples, a new prompt drawn after every k."""
    order = np.random.default_rng([seed, epoch, 0]).permutation(examples).tolist()
    drawn = np.random.default_rng([seed, epoch, 1]).integers(prompts, size=-(-examples // k)).tolist()
    return [(example, drawn[position // k]) for position, example in enumerate(order)]


def train(model, tokenizer, rows: list[dict], prompts: list[str], args: argparse.Namespace) -> list[float]:
    """T epochs of Algorithm 1; returns the loss of each step, in nats per answer token."""
    weights = [p for p in model.parameters() if p.requires_grad]
    steps = args.epochs * -(-len(rows) // args.batch_size)
    optimizer = torch.optim.AdamW(weights, lr=args.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, -(-steps // 10), steps)
    losses = []
    model.train()
    for epoch in range(args.epochs):
        plan = plan_epoch(len(rows), len(prompts), epoch, args.k, args.seed)
        for at in range(0, len(plan), args.batch_size):
            pairs = [(fill(prompts[p], rows[e]), rows[e][args.answer]) for e, p in plan[at : at + args.batch_size]]
            batch = pad([encode(tokenizer, *pair, end=True) for pair in pairs], model.device)
            loss = model(**batch).loss  # mean over the answer tokens of the batch; all other labels are -100
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if len(losses) % 20 == 0:
                print(f"step {len(losses)} of {steps}  loss {sum(losses[-20:]) / 20:.4f}", flush=True)
    return losses


# The sweep: a prompt's accuracy is the share of rows whose right answer is the likeliest of all answers.


@torch.no_grad()
def log_likelihoods(model, tokenizer, pairs: list[tuple[str, str]], size: int = 32) -> np.ndarray:
    """Sum of the log-probabilities of the answer's tokens, for each (prompt, answer)."""
    out = []
    for at in range(0, len(pairs), size):
        batch = pad([encode(tokenizer, *pair, end=False) for pair in pairs[at : at + size]], model.device)
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch).logits[:, :-1].float().transpose(1, 2)
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")  # 0 where the label is -100
        out.append(-losses.sum(1).cpu().numpy())
    return np.concatenate(out)


def sweep(model, tokenizer, rows: list[dict], prompts: list[str], answer: str, answers: list[str]) -> list[float]:
    """The accuracy of each prompt over the same rows."""
    model.eval()
    gold = np.array([answers.index(row[answer]) for row in rows])
    accuracies = []
    for prompt in prompts:
        pairs = [(fill(prompt, row), candidate) for row in rows for candidate in answers]
        likeliest = log_likelihoods(model, tokenizer, pairs).reshape(len(rows), -1).argmax(1)
        accuracies.append(float((likeliest == gold).mean()))
    return accuracies


# The command line.


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(DEMO / "base"), help="model folder or hub id")
    parser.add_argument("--train", type=Path, default=DEMO / "demo" / "train.jsonl", help="rows to train on")
    parser.add_argument("--test", type=Path, default=DEMO / "demo" / "test.jsonl", help="rows to measure with")
    parser.add_argument("--prompts-train", type=Path, default=DEMO / "demo" / "prompts-train.jsonl")
    parser.add_argument("--prompts-test", type=Path, default=DEMO / "demo" / "prompts-test.jsonl")
    parser.add_argument("--answer", default="label", help="the key of the answer in a row")
    parser.add_argument("--words", default=WORDS, help="'stored=written ...'; an answer not named is written as it is")
    parser.add_argument("--lora", action="store_true", help="train a LoRA adapter, r 8, rather than all weights")
    parser.add_argument("--k", type=int, default=4, help="K: examples between two draws of a prompt")
    parser.add_argument("--epochs", type=int, default=2, help="T")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="with --lora 1e-4 is usual")
    parser.add_argument("--limit", type=int, default=60, help="how many test rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="folder to save the model or adapter in")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> tuple[list[float], list[float]]:
    """Train, sweep, print; returns the losses of the steps and the accuracies of the unseen prompts."""
    args = parse(argv)
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    if args.lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, task_type="CAUSAL_LM"))
    words = dict(pair.split("=") for pair in args.words.split())
    train_rows, test_rows = read_rows(args.train), read_rows(args.test)
    for row in [*train_rows, *test_rows]:
        row[args.answer] = words.get(row[args.answer], row[args.answer])
    answers = sorted({row[args.answer] for row in [*train_rows, *test_rows]})
    size = min(args.limit, len(test_rows))
    sample = np.sort(
        np.random.default_rng(20250218).choice(len(test_rows), size=size, replace=False)
    )  # as paft's --limit

    started = time.monotonic()
    losses = train(model, tokenizer, train_rows, read_prompts(args.prompts_train), args)
    print(f"trained on {len(train_rows)} rows x {args.epochs} epochs in {time.monotonic() - started:.0f} s")
    if args.output:
        model.save_pretrained(args.output)
        tokenizer.save_pretrained(args.output)
    unseen = read_prompts(args.prompts_test)
    accuracies = sweep(model, tokenizer, [test_rows[i] for i in sample], unseen, args.answer, answers)
    mean, std = statistics.mean(accuracies), statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    print(f"{len(unseen)} unseen prompts x {size} rows, accuracy in %:")
    print(
        f"mean {100 * mean:.1f}  std {100 * std:.1f}  min {100 * min(accuracies):.1f}  max {100 * max(accuracies):.1f}"
    )
    print(f"worst prompt: {unseen[accuracies.index(min(accuracies))]!r}")
    return losses, accuracies


if __name__ == "__main__":
    main()
