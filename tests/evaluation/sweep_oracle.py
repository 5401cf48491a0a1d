"""The same answers computed by plain transformers: one example at a time, no batch, no padding, no cache."""

from __future__ import annotations

import torch

from paft.tasks import Example, Task


def prompt_string(tokenizer, rendered, chat: bool) -> str:
    if chat:
        turns = [{"role": "user", "content": rendered}] if isinstance(rendered, str) else rendered
        turns = [{**t, "content": t["content"].rstrip(" \t")} for t in turns]
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True).rstrip(" \t")
    if not isinstance(rendered, str):
        rendered = "\n\n".join(t["content"].rstrip(" \t") for t in rendered)
    return rendered.rstrip(" \t")


def token_ids(tokenizer, text: str, chat: bool) -> list[int]:
    has_bos = chat and text.startswith(tokenizer.bos_token)
    return tokenizer(text, add_special_tokens=not has_bos)["input_ids"]


@torch.no_grad()
def log_likelihood(model, tokenizer, prompt: str, answer: str, chat: bool = False) -> tuple[float, int]:
    """Sum of the answer tokens' log-probabilities, and how many there are."""
    before = token_ids(tokenizer, prompt, chat)
    ids = token_ids(tokenizer, prompt + (answer if prompt.endswith("\n") else " " + answer), chat)
    assert ids[: len(before)] == before, "this oracle wants a boundary between tokens"
    log_probs = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(log_probs[i - 1, ids[i]]) for i in range(len(before), len(ids))), len(ids) - len(before)


@torch.no_grad()
def generate(model, tokenizer, task: Task, example: Example, prompt: str, room: int, chat: bool = False):
    """``(text, tokens)`` of greedy decoding that runs the whole sequence anew for every token."""
    ids = token_ids(tokenizer, prompt, chat)
    made: list[int] = []
    while len(made) < room:
        made.append(int(model(input_ids=torch.tensor([ids + made])).logits[0, -1].argmax()))
        if made[-1] == tokenizer.eos_token_id:
            break
        text = tokenizer.decode(made, skip_special_tokens=True)
        if "\n" in tokenizer.decode(made[-1:]):
            wanted = example.answer.count("\n") + 1
            if task.parse(text) >= 0 if task.type != "free" else text.lstrip().count("\n") >= wanted:
                break
    return tokenizer.decode(made, skip_special_tokens=True), len(made)
