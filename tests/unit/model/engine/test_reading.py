"""What is read off logits does not depend on where a row begins in memory."""

import pytest
import torch
from torch import Tensor

from search_cluster.model.engine import reading
from search_cluster.model.engine.reading import read_logits


@pytest.mark.parametrize("vocabulary", [31, 32, 36])
@pytest.mark.parametrize("is_card", [True, False])
def test_off_a_cpu_rows_begin_at_the_same_kind_of_address(
    vocabulary: int, is_card: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[int] = []
    log_softmax = Tensor.log_softmax

    def spy(logits_RV: Tensor, *, dim: int) -> Tensor:
        widths.append(logits_RV.shape[1])
        return log_softmax(logits_RV, dim=dim)

    logits_RV = torch.randn(8, vocabulary, generator=torch.Generator().manual_seed(0))
    expected = log_softmax(logits_RV, dim=-1)
    if is_card:
        monkeypatch.setattr(reading, "UNALIGNED_KINDS", ())
    monkeypatch.setattr(Tensor, "log_softmax", spy)
    readings = read_logits(logits_RV, [[0, vocabulary - 1], [5]])
    assert widths == [-(-vocabulary // 8) * 8 if is_card else vocabulary]
    assert [sorted(item.log_probs) for item in readings] == [[0, vocabulary - 1], [5]]
    for row, item in enumerate(readings):
        assert item.finite
        for token, log_prob in item.log_probs.items():
            assert log_prob == pytest.approx(float(expected[row, token]), abs=1e-6)
            assert is_card or log_prob == float(expected[row, token])
