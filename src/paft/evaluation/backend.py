"""One way to ask a model, whatever runs it: the work, and the backend that answers it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from paft.errors import InputError
from paft.evaluation.cells import Cell, CellStore
from paft.evaluation.options import Options
from paft.evaluation.pairs import Pair, TooLong
from paft.processes import current
from paft.prompts import Prompt
from paft.tasks.base import Example, Task

if TYPE_CHECKING:
    from paft.models import ModelSource


@dataclass(frozen=True)
class Work:
    """What a model is to be asked, settled; a backend is opened from it.

    Attributes:
        model: as it was given: a name or folder, a loaded ``(model, tokenizer)``, a ``ServerModel``, a ``VllmModel``.
        source: what a name resolves to; None where there is no name.
        options: how answers are scored; the chat mode and the day are settled but for a server, which has its own.
        identity: what decides the cells beside the model.
        output: the folder of the cells; None where they are not kept, and in all processes but the first.
        say: is told in one line how the model is asked.
    """

    model: Any
    task: Task
    prompts: Iterable[Prompt]
    examples: Sequence[Example]
    options: Options
    source: ModelSource | None = None
    adapter: str | os.PathLike[str] | None = None
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False
    on_long: Literal["error", "drop"] = "error"
    identity: Mapping[str, Any] = field(default_factory=dict)
    output: str | os.PathLike[str] | None = None
    say: Callable[[str], None] = lambda text: None

    @property
    def scoring(self) -> str:
        """The scoring that the options ask for."""
        return self.options.scoring_of(self.task)


class Backend(Protocol):
    """A model that is ready to be asked.

    Attributes:
        scoring: ``likelihood``, ``generate`` or ``continuation``.
    """

    scoring: str

    def identity(self) -> dict[str, Any]:
        """What decides the cells, beside the identity of the work."""
        ...

    def record(self) -> dict[str, Any]:
        """How records call the model."""
        ...

    def cells(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        """The cells of ``pairs``, some at a time.

        Raises:
            EncodingError: a pair that cannot be encoded or is too long; names prompt and example.
            InputError: ``batch_tokens`` is too small for a pair.
            ModelError: a server refuses the key or the model.
            RunError: out of memory, log-likelihoods that are not numbers, or no answer.
        """
        ...

    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]:
        """The pairs that are known to be too long."""
        return []

    def check(self, pair: Pair) -> None:
        """Refuse a model that cannot be right, on a pair, before a folder is claimed. Raises ModelError."""
        return None

    def resume(self, store: CellStore, pairs: Iterable[Pair]) -> None:
        """Take up what an earlier run was answered but is not among the cells of ``store``."""
        return None

    def dropped(self) -> Collection[str]:
        """Ids of examples that turned out too long on the way."""
        return ()

    def proof(self) -> dict[str, Any]:
        """What was found out before cells were computed; empty where none were."""
        return {}

    def facts(self) -> dict[str, Any]:
        """More for the summary, when all is done."""
        return {}


def refuse_several(model: object) -> None:
    """Refuse a model that is run elsewhere than in the processes that were started.

    Raises:
        InputError: there are several.
    """
    if current().world > 1:
        raise InputError(
            f"a {type(model).__name__} is asked by one process, found {current().world}; start the sweep without a "
            "launcher\na server takes --concurrency, and vLLM shares a model between GPUs by itself"
        )
