"""What is kept of features stays below a limit, and what was used last stays longest."""

import os
from pathlib import Path

import torch

from router_train.data.feature_store import bound_features, stored_features


def store(folder: Path, number: int) -> bool:
    """Ask for the features of a key; whether they had to be computed."""
    computed = []

    def compute() -> dict[str, torch.Tensor]:
        computed.append(number)
        return {"states": torch.full((256,), float(number))}

    found = stored_features(folder, {"number": number}, compute)
    assert found["states"].tolist() == [float(number)] * 256
    return bool(computed)


def test_the_least_recently_used_features_go_first(tmp_path: Path) -> None:
    for number in range(3):
        assert store(tmp_path, number)
        (newest,) = set(tmp_path.iterdir()) - {
            file for file in tmp_path.iterdir() if file.stat().st_mtime < 1e9
        }
        os.utime(newest, (number, number))
    assert not store(tmp_path, 0)  # used just now, so it is the last to go
    size = next(tmp_path.iterdir()).stat().st_size
    use = bound_features(tmp_path, 2 * size)
    assert (use.num_bytes, use.num_removed_bytes) == (2 * size, size)
    assert [store(tmp_path, number) for number in (0, 2, 1)] == [False, False, True]


def test_a_limit_of_nothing_keeps_nothing_and_a_folder_may_be_missing(tmp_path: Path) -> None:
    store(tmp_path, 7)
    assert bound_features(tmp_path, 0).num_bytes == 0
    assert list(tmp_path.iterdir()) == []
    assert bound_features(tmp_path / "none", 0).num_removed_bytes == 0
