"""Where a tokenizer reads the end of a text apart from what stands before, so that answers need not be read whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tokenizers import Encoding as Read
from transformers import PreTrainedTokenizerBase

MARGIN = 3  # characters that a pattern may look ahead: an apostrophe with "re" or "ll", a space and what follows it
TRIES = 4  # words to go back from the boundary before the whole text is read after all

# Patterns that cut a text from left to right: where a word starts depends on what follows alone, and no word looks
# further than the next character that is no space (Llama 3, Qwen 2 and GPT-4; GPT-2's is built into ByteLevel).
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LOCAL_PATTERNS = frozenset(_WORDS % digits for digits in (r"\p{N}", r"\p{N}{1,3}"))


def reads_locally(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a text from the start of a word on gives the tokens that it gives inside the whole text.

    So it is where the words are cut by one of a few known patterns and every word is read by itself. Texts that
    the normalizer would change, and chat templates, are the caller's to leave out.
    """
    raw = tokenizer.backend_tokenizer
    if raw.pre_tokenizer is None or any(not t.special for t in tokenizer.added_tokens_decoder.values()):
        return False
    if raw.normalizer is not None and type(raw.normalizer).__name__ not in ("NFC", "NFD", "NFKC", "NFKD"):
        return False
    if getattr(raw.model, "dropout", None):
        return False
    settings = json.loads(raw.pre_tokenizer.__getstate__())
    parts = settings["pretokenizers"] if settings["type"] == "Sequence" else [settings]
    return all(map(_is_local, parts)) and any(_cuts_words(part) for part in parts)


def _is_local(part: dict[str, Any]) -> bool:
    if part["type"] == "ByteLevel":
        return not part["add_prefix_space"]
    return part["type"] == "Digits" or _cuts_words(part)


def _cuts_words(part: dict[str, Any]) -> bool:
    if part["type"] == "Split":
        known = part["pattern"].get("Regex") in LOCAL_PATTERNS
        return known and part["behavior"] == "Isolated" and not part["invert"]
    return part["type"] == "ByteLevel" and bool(part["use_regex"])


def tail_starts(read: Read, boundary: int, text: str, prompt_chars: int) -> Iterator[tuple[int, int]]:
    """``(token, character)`` where words before the boundary start, the last one first.

    What comes before such a word does not look at characters behind the prompt: the next one that is no space, and
    three more, still belong to the prompt.

    Args:
        read: ``text`` as the tokenizer has read it.
        boundary: the first token behind the prompt.
        prompt_chars: characters of the prompt.
    """
    found = 0
    for token in range(boundary - 1, 0, -1):
        if read.token_to_word(token) == read.token_to_word(token - 1):
            continue
        before = read.token_to_chars(token - 1)
        if before is None:
            continue
        start = before[1]  # not where the token starts: some tokenizers leave its space out
        rest = text[start:prompt_chars]
        if len(rest.lstrip()) >= MARGIN:
            yield token, start
            found += 1
            if found == TRIES:
                return
