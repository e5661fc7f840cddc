"""What the search of one example found: the unit of the corpus.

Knows nothing about files.
"""

from dataclasses import dataclass

from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PathVerdict:
    """A path and what it answered."""

    path: LayerPath
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFailure:
    """A path without a verdict, and why."""

    path: LayerPath
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRecord:
    """One searched example, immutable. Everything but margins is reproducible from the seed."""

    example: Example
    identity: Verdict | None
    """The plain model's verdict; ``None`` if the identity path failed (then nothing was searched)."""
    evaluated: tuple[PathVerdict, ...]
    """Every path that was delivered to the tree, identity first, in the order in which it was proposed."""
    failures: tuple[PathFailure, ...]
    best: tuple[PathVerdict, ...]
    """Best paths, best first; the identity path alone where nothing better was found and identity is right; empty where
    no path is right."""
    pareto: tuple[PathVerdict, ...]
    """The Pareto front of (reward up, length down), shortest first."""
    stop_reason: str
    """``improved``, ``budget``, ``exhausted`` or ``failed``."""
