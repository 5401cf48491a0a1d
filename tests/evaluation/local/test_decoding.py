"""Greedy decoding of a batch whose rows stop at different times."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from paft.evaluation.local.decoding import greedy
from paft.evaluation.local.forward import Forward


@torch.no_grad()
def alone(model, tokenizer, ids, end_ids, room, satisfied):
    """One prompt, the whole sequence run anew for every token."""
    made: list[int] = []
    while len(made) < room:
        made.append(int(model(input_ids=torch.tensor([ids + made])).logits[0, -1].argmax()))
        if made[-1] in end_ids or (
            "\n" in tokenizer.decode(made[-1:]) and satisfied(tokenizer.decode(made, skip_special_tokens=True))
        ):
            break
    return tokenizer.decode(made, skip_special_tokens=True), len(made)


@pytest.mark.parametrize(("family", "run_tokens"), [("llama", 1000), ("llama", 40), ("qwen3", 40), ("mistral", 40)])
def test_rows_stop_for_themselves(family, run_tokens, tiny_model_dir, tiny_tokenizer):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir(family)).eval()
    prompts = [tiny_tokenizer(f"{'fox ' * (k % 5)}number {k}:")["input_ids"] for k in range(24)]
    newline = tiny_tokenizer("\n", add_special_tokens=False)["input_ids"][0]
    end_ids = frozenset(i for i in range(0, len(tiny_tokenizer), 9) if i != newline)  # many tokens end a row
    with torch.no_grad():  # and line breaks are likely
        model.get_output_embeddings().weight[newline] *= 2

    def satisfied(text: str) -> bool:
        return len(text) % 2 == 0

    made = greedy(
        Forward(model, 0),
        tiny_tokenizer,
        prompts,
        end_ids,
        12,
        lambda row, text: satisfied(text),
        run_tokens=run_tokens,
    )
    wanted = [alone(model, tiny_tokenizer, ids, end_ids, 12, satisfied) for ids in prompts]
    assert [(g.text, g.tokens) for g in made] == wanted
    lengths = {tokens for _, tokens in wanted}
    assert len(lengths) > 3, "the rows of this test should stop at different times"
    assert any(tokens < 12 and text.endswith("\n") for text, tokens in wanted)
