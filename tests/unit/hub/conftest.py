"""A local hub that takes uploads, and a token that nobody is to see."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub import LocalHub, point_at

TOKEN = "hf_nobody_may_see_this"


@pytest.fixture
def local_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("SEARCH_CLUSTER_CACHE", str(tmp_path / "own-cache"))
    served = LocalHub(root=tmp_path / "served")
    with served.running():
        point_at(served, monkeypatch, tmp_path / "cache")
        yield served
