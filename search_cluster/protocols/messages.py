"""What crosses the seam between the search and the evaluators: requests and results.

Failure is a value: the tree backs up a `Verdict`, abandons a path with a `Failure`, and both are
counted.
"""

from dataclasses import dataclass

from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """Evaluate one path on one example. Idempotent: asking twice gives the same verdict."""

    request_id: int
    """Unique within one evaluator's life; chosen by who submits."""
    example: Example
    path: LayerPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no verdict."""

    kind: str
    """The error's class name, such as ``NonFiniteLogitsError`` or ``PromptTooLongError``."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """The answer to one request."""

    request_id: int
    outcome: Verdict | Failure
    device_busy_s: float = 0.0
    """Seconds of device work that this result cost; 0 from a cache."""
    from_cache: bool = False
