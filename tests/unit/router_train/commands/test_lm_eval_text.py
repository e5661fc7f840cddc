"""What `router-train lm-eval` prints: no accuracy without its spread."""

from typing import Any

import pytest

pytest.importorskip("lm_eval")

from router_train.commands.lm_eval import _metrics_text


@pytest.mark.parametrize(
    ("routed", "plain", "text"),
    [
        (
            {"acc": 2 / 3, "acc_stderr": 1 / 3, "sample_len": 3},
            {"acc": 1 / 3, "acc_stderr": 1 / 3, "sample_len": 3},
            "acc 0.6667 ± 0.65 (plain 0.3333 ± 0.65); 3 questions, ± spans 95 %",
        ),
        (
            {"exact_match,strict": 0.5, "exact_match_stderr,strict": 0.05},
            None,
            "exact_match,strict 0.5 ± 0.098",
        ),
        (
            {"acc": 0.5, "acc_stderr": None, "sample_len": 2},
            None,
            "acc 0.5; 2 questions, no spread",
        ),
        (
            {"acc": 1.0, "acc_stderr": 0.0, "sample_len": 2},
            {"acc": 0.5, "acc_stderr": 0.5, "sample_len": 2},
            "acc 1 (plain 0.5 ± 0.98); 2 questions, ± spans 95 %",
        ),
    ],
)
def test_claims_a_metric_comes_with_its_spread(
    routed: dict[str, Any], plain: dict[str, Any] | None, text: str
) -> None:
    assert _metrics_text(routed, plain) == text
