"""The map of a prompt set: where the points lie, and what is drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from paft.errors import InputError
from paft.prompts import Prompt, PromptSet
from paft.prompts.mmd import spectrum_kernel
from paft.report.prompt_map import COLOURS, OTHER, coordinates, plot_prompt_map

TREC = Path(__file__).resolve().parents[2] / "examples" / "trec" / "prompts.jsonl"


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    train, test = PromptSet.load(TREC).split(test=40, seed=0)
    return [*train, *test]


def uses(svg: Path, gid: str) -> list[str]:
    """The marks of one side, each as its element's style."""
    root = ET.parse(svg).getroot()
    space = "{http://www.w3.org/2000/svg}"
    sides = [each for each in root.iter(f"{space}g") if each.get("id") == gid]
    return [use.get("style", "") for each in sides for use in each.iter(f"{space}use")]


def test_points_are_those_of_classical_scaling(prompts: list[Prompt]) -> None:
    points, shares = coordinates(prompts)
    kernel = spectrum_kernel(prompts)
    middle = np.eye(len(kernel)) - 1 / len(kernel)
    values, vectors = np.linalg.eigh(middle @ kernel @ middle)
    expected = vectors[:, [-1, -2]] * np.sqrt(values[[-1, -2]])
    expected *= np.sign(expected[np.abs(expected).argmax(axis=0), [0, 1]])
    np.testing.assert_allclose(points, expected, atol=1e-4)
    np.testing.assert_allclose(shares, values[[-1, -2]] / values.sum(), atol=1e-9)
    one, other = 3, 50
    whole = kernel[one, one] + kernel[other, other] - 2 * kernel[one, other]
    assert np.sum((points[one] - points[other]) ** 2) <= whole


def test_the_order_of_the_prompts_does_not_move_them(prompts: list[Prompt]) -> None:
    points, _ = coordinates(prompts)
    turned, _ = coordinates(prompts[::-1])
    np.testing.assert_allclose(turned[::-1], points, atol=1e-4)


def test_every_prompt_is_drawn_in_the_colour_of_its_voice(prompts: list[Prompt], tmp_path: Path) -> None:
    svg = plot_prompt_map(prompts, tmp_path / "map.svg")
    train, test = uses(svg, "train"), uses(svg, "test")
    assert (len(train), len(test)) == (170, 40)
    voices = sorted({p.source["style"] for p in prompts})
    for voice, colour in zip(voices, COLOURS, strict=True):
        count = sum(p.source["style"] == voice for p in prompts)
        assert sum(colour in style for style in train + test) == count


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_kinds_and_the_same_bytes_again(suffix: str, prompts: list[Prompt], tmp_path: Path) -> None:
    one, other = (plot_prompt_map(prompts[:30], tmp_path / f"{name}.{suffix}") for name in "ab")
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes()[:4] == {"png": b"\x89PNG", "svg": b"<?xm", "pdf": b"%PDF"}[suffix]


def test_more_sources_than_colours_and_none_at_all(tmp_path: Path) -> None:
    many = [Prompt.from_text(f"wording {i} of {{x}}", {"model": f"m{i:02}"}) for i in range(14)]
    styles = uses(plot_prompt_map(many, tmp_path / "many.svg"), "train")
    assert sum(OTHER in style for style in styles) == 4
    plain = [Prompt.from_text(f"wording {i} of {{x}}") for i in range(5)]
    assert sum(OTHER in style for style in uses(plot_prompt_map(plain, tmp_path / "plain.svg"), "train")) == 5


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_or_identical_prompts(count: int, tmp_path: Path) -> None:
    same = [Prompt.from_text("Say {x}:", id=str(i)) for i in range(count)]
    points, shares = coordinates(same)
    assert not points.any()
    assert shares.tolist() == [0.0, 0.0]
    assert len(uses(plot_prompt_map(same, tmp_path / "same.svg"), "train")) == count


def test_wrong_calls(prompts: list[Prompt], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"written as \.png, \.svg, \.pdf"):
        plot_prompt_map(prompts, tmp_path / "map.jpeg")
    with pytest.raises(InputError, match="at least one prompt"):
        plot_prompt_map([], tmp_path / "map.png")
    with pytest.raises(InputError, match="unknown source field 'author'"):
        plot_prompt_map(prompts, tmp_path / "map.png", field="author")
    assert not list(tmp_path.iterdir())
