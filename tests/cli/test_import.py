"""``import paft`` is light, and every public name is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import paft


def test_import_loads_nothing_heavy() -> None:
    program = (
        "import sys, paft; dir(paft); "
        "print(sorted({'torch', 'transformers', 'numpy', 'datasets', 'peft', 'yaml', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "[]\n"


def test_prompts_and_tasks_need_no_torch() -> None:
    program = "import sys; from paft import PromptSet, Task, load_task, UniformSchedule; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", paft.__all__)
def test_public_names(name: str) -> None:
    value = getattr(paft, name)
    assert name in dir(paft)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__module__.startswith("paft.")


def test_contents_and_homes_agree() -> None:
    assert set(paft.__all__) == {*paft._HOME, "__version__"}


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        paft.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("program", "without"),
    [
        ("from paft.models import resolve_model; resolve_model('embedded')", {"torch", "transformers"}),
        ("from paft.models import Encoder", {"torch", "transformers.modeling_utils"}),
        (
            "from paft.models import load_tokenizer, resolve_model; load_tokenizer(resolve_model('embedded'))",
            {"transformers.modeling_utils", "peft", "scipy"},
        ),
    ],
)
def test_tokenizers_need_no_models(program: str, without: set[str]) -> None:
    program += f"; import sys; print(sorted({without!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "[]\n"
