"""What a model's files say of its licence."""

from pathlib import Path

import pytest

from search_cluster.model.portable.licence import Licence, licence_of


@pytest.mark.parametrize("text", ["", "no front matter", "---\nlicense: [\n---\n", "\xff"])
def test_leaving_licences_that_are_not_stated_are_not_invented(text: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(text.encode("latin-1"))
    assert licence_of(str(tmp_path), tmp_path) == Licence()
