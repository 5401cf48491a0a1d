"""Where prompts came from: the fields of ``source`` that sets are counted, coloured and stratified by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from paft.prompts.prompt import Prompt

# what a field is called here -> the keys of ``source`` that may hold it, first come first served
FIELDS = {
    "kind": ("kind",),
    "provider": ("provider",),
    "model": ("model",),
    "voice": ("voice", "style"),
    "strategy": ("strategy",),
}
UNKNOWN = "(none)"


def origin(prompt: Prompt) -> dict[str, str]:
    """The fields that the prompt's source gives, in the order of ``FIELDS``."""
    given = {}
    for name, keys in FIELDS.items():
        value = next((prompt.source[key] for key in keys if prompt.source.get(key) not in (None, "")), None)
        if value is not None:
            given[name] = str(value)
    return given


def stratum(prompt: Prompt) -> tuple[str, ...]:
    """One value for each of ``FIELDS``; ``(none)`` where the source does not say."""
    given = origin(prompt)
    return tuple(given.get(name, UNKNOWN) for name in FIELDS)


def source_counts(prompts: Iterable[Prompt]) -> dict[str, dict[str, int]]:
    """Field -> value -> number of prompts, most first; only fields that some prompt gives."""
    strata = [stratum(prompt) for prompt in prompts]
    counts = {}
    for place, name in enumerate(FIELDS):
        found = Counter(values[place] for values in strata)
        if set(found) - {UNKNOWN}:
            counts[name] = dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
    return counts
