"""Fixtures for downloads: a hub, and processes that pull from it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub import FakeHub, Puller, serving


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving() as running:
        yield running


@pytest.fixture
def puller(hub: FakeHub, tmp_path: Path) -> Puller:
    home = tmp_path / "hf"
    home.mkdir()
    return Puller(hub, home)
