"""Pictures: what is drawn, and that the same records give the same files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from paft.errors import InputError
from paft.experiments.records import METHODS
from paft.report.plots import COLOURS, colour, density, plot_accuracy, swarm

ACCURACIES = {
    "base": list(np.random.default_rng(0).normal(0.3, 0.1, 50)),
    "paft": list(np.random.default_rng(1).normal(0.85, 0.03, 50)),
}


def test_both_kinds_are_written_and_are_what_they_say(tmp_path: Path) -> None:
    png, svg = plot_accuracy(ACCURACIES, tmp_path / "deep" / "accuracy.v2", note="a note")
    assert (png.name, svg.name) == ("accuracy.v2.png", "accuracy.v2.svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert ET.parse(svg).getroot().tag.endswith("svg")
    assert sorted(p.name for p in png.parent.iterdir()) == ["accuracy.v2.png", "accuracy.v2.svg"]


def test_every_prompt_is_a_point_in_its_methods_colour(tmp_path: Path) -> None:
    (svg,) = plot_accuracy(ACCURACIES, tmp_path / "a", kinds=["svg"])
    text = svg.read_text()
    for name, values in ACCURACIES.items():
        points = [part for part in text.split("<use") if COLOURS[name] in part.split("/>")[0]]
        assert len(points) == len(values)


def test_the_numbers_beside_a_row(tmp_path: Path) -> None:
    given = {"paft": {"mean": 0.5, "std": 0.123, "min": 0.25}}
    (svg,) = plot_accuracy(ACCURACIES, tmp_path / "a", kinds=["svg"], numbers=given)
    text = svg.read_text()
    base = np.array(ACCURACIES["base"])
    for shown in ("mean", "std", "min", "50.0", "12.3", "25.0"):
        assert f"<!-- {shown} -->" in text
    for number in (base.mean(), base.std(ddof=1), base.min()):
        assert f"<!-- {100 * number:.1f} -->" in text


def test_names_are_no_formulas(tmp_path: Path) -> None:
    (svg,) = plot_accuracy({"a_b$x^2$": [0.5, 0.6]}, tmp_path / "a", kinds=["svg"], title="$", note="50 % $ of $5")
    text = svg.read_text()
    assert "<!-- a_b$x^2$ -->" in text
    assert "<!-- 50 % $ of $5 -->" in text


def test_every_method_of_the_paper_has_a_colour_of_its_own() -> None:
    assert len({colour(name) for name in METHODS}) == len(METHODS)
    others = [colour("mine", place) for place in range(3)]
    assert len({*others, *COLOURS.values()}) == len(others) + len(COLOURS)


@pytest.mark.parametrize("values", [[50.0], [50.0] * 9, [0.0, 0.0, 100.0], [3.0, 50.0, 51.0, 99.0]])
def test_a_density_holds_everything_and_nothing_outside(values: list[float]) -> None:
    places, height = density(values)
    assert places.min() >= 0
    assert places.max() <= 100
    assert np.trapezoid(height, places) == pytest.approx(1.0, abs=0.01)


def test_a_density_is_that_of_kernels() -> None:
    values = np.random.default_rng(0).normal(50, 5, 40)  # far from both ends
    band = 0.9 * min(values.std(ddof=1), (np.quantile(values, 0.75) - np.quantile(values, 0.25)) / 1.34) / 40**0.2
    places, height = density(values)
    at = places[100]
    expected = np.mean([np.exp(-((at - v) ** 2) / (2 * band**2)) / (band * np.sqrt(2 * np.pi)) for v in values])
    assert height[100] == pytest.approx(expected)


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    one = plot_accuracy(ACCURACIES, tmp_path / "one")
    other = plot_accuracy(ACCURACIES, tmp_path / "other")
    for a, b in zip(one, other, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_one_prompt_and_many_methods(tmp_path: Path) -> None:
    methods = {f"method {i}": [0.5] for i in range(8)}
    (png,) = plot_accuracy(methods, tmp_path / "a", kinds=["png"])
    assert png.stat().st_size > 1000


@pytest.mark.parametrize("methods", [{}, {"base": []}])
def test_nothing_to_draw(methods: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one"):
        plot_accuracy(methods, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_points_that_are_near_stand_apart() -> None:
    offsets = swarm([10.0, 10.1, 10.2, 50.0], width=0.8)
    assert offsets.tolist() == pytest.approx([-0.11, 0.0, 0.11, 0.0])
    crowd = swarm([10.0] * 1000)
    assert np.abs(crowd).max() <= 0.361
    assert len(set(crowd.tolist())) == 1000
