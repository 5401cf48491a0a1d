"""Rows of the table that shows a prompt set."""

from __future__ import annotations

from paft.prompts import Prompt, PromptSet, show_rows


def test_rows_count_words_without_slots() -> None:
    prompts = PromptSet(
        [
            Prompt.from_text(
                "\nRead {text} now.\nAnswer:", {"kind": "llm", "model": "m", "strategy": "zero-shot"}, "a"
            ),
            Prompt.from_text(
                [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{text}?"}], id="b"
            ),
        ]
    )
    assert show_rows(prompts) == [
        ("a", 3, ("text",), "llm / m / zero-shot", "Read {text} now."),
        ("b", 3, ("text",), "", "Be brief."),
    ]
