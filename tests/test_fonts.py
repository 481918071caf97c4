"""Installed fonts: the usual one first, and one that has gone."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib import font_manager

from lenet5_cli.reports.fonts import installed


def test_the_usual_font_comes_first_with_its_characters() -> None:
    family, path, characters = next(installed())
    assert family == font_manager.FontProperties().get_name()
    assert Path(path).is_file()
    assert set(map(ord, "Aa19é")) <= characters
    assert ord("一") not in characters


def test_a_font_that_has_gone_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [path for _, path, _ in installed()]
    read = font_manager.get_font

    def get_font(path: str) -> Any:
        if path == there[-1]:
            raise OSError("gone")
        return read(path)

    monkeypatch.setattr(font_manager, "get_font", get_font)
    assert [path for _, path, _ in installed()] == [path for path in there if path != there[-1]]
