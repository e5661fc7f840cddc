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
class PathEvidence:
    """What speaks for a path beside its own verdict on the example: counts of right answers, identity's beside them.

    A path that was right once may be lucky; see the design's section on luck.
    """

    path: LayerPath
    guide_right: int
    """Of the perturbations that may steer the search."""
    guide_identity_right: int | None
    """``None`` if identity was not asked, since the path is right on all of them (or no evaluations
    were left)."""
    num_guide: int
    verify_right: int
    """Of the perturbations that are reserved for verification; 0 of 0 if the path failed before."""
    verify_identity_right: int | None
    num_verify: int
    probe_right: int
    """Of the other questions on which the path was tried (transfer): those whose answers identity
    is least sure of."""
    probe_identity_right: int
    num_probes: int
    credible: bool
    """Whether all that the preset requires is fulfilled."""
    num_screened: int | None = None
    """Questions from which the probes were chosen; identity was asked all. What the path may lose
    is a share of these. ``None`` in corpora that were written before it was recorded, as for
    `probe_chance`."""
    probe_chance: float | None = None
    """Share of the probes that guesses would answer; ``None`` also unless all have choices."""


LATER_EVIDENCE = ("num_screened", "probe_chance")
"""What older corpora lack of `PathEvidence`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRecord:
    """One searched example, immutable. Everything but margins is reproducible from the seed."""

    example: Example
    identity: Verdict | None
    """The plain model's verdict; ``None`` if the identity path failed (then nothing was
    searched)."""
    evaluated: tuple[PathVerdict, ...]
    """Every path that was delivered to the tree, identity first, in the order in which it was
    proposed."""
    failures: tuple[PathFailure, ...]
    """Paths without a verdict; where evidence is asked for, also on perturbations (the message says
    so)."""
    best: tuple[PathVerdict, ...]
    """Best paths, best first; the identity path alone where nothing better was found and identity
    is right; empty where no path is right. Credible ones only, if the preset asks for evidence."""
    pareto: tuple[PathVerdict, ...]
    """The Pareto front of (reward up, length down), shortest first."""
    stop_reason: str
    """``improved``, ``budget``, ``exhausted`` or ``failed``."""
    evidence: tuple[PathEvidence, ...] = ()
    """Of every path that was examined, in the order of examination; none if the preset asks for no
    evidence."""
    unguarded: tuple[PathVerdict, ...] = ()
    """What ``best`` would be without evidence, if the preset asks for it: partly luck."""


def failed_record(example: Example, num_layers: int, *, kind: str, message: str) -> ExampleRecord:
    """The record of an example that could not be searched at all: without a verdict, not even identity's, and why."""
    failure = PathFailure(path=LayerPath.identity(num_layers), kind=kind, message=message)
    return ExampleRecord(
        example=example,
        identity=None,
        evaluated=(),
        failures=(failure,),
        best=(),
        pareto=(),
        stop_reason="failed",
    )
