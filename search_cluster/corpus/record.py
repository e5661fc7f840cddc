"""What the search of one example found: the unit of the corpus.

Records know nothing about files.
"""

from dataclasses import dataclass

from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PathVerdict:
    """A path and what it answered."""

    path: LayerPath
    """The path."""
    verdict: Verdict
    """What it answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFailure:
    """A path without a verdict, and why."""

    path: LayerPath
    """The path."""
    kind: str
    """The name of the error."""
    message: str
    """What the error says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEvidence:
    """What speaks for a path beside its own verdict on the example.

    These are counts of right answers, with identity's beside them.

    A path that was right once may be lucky, which is why more is asked.
    """

    path: LayerPath
    """The path."""
    guide_right: int
    """Right answers of the path on the perturbations that may guide the search."""
    guide_identity_right: int | None
    """Right answers of identity on the same; ``None`` if it was not asked, since the path is right
    on all of them (or no evaluations were left)."""
    num_guide: int
    """The number of these perturbations."""
    verify_right: int
    """Right answers of the path on the perturbations that are reserved for verification; 0 of 0 if
    the path failed before."""
    verify_identity_right: int | None
    """Right answers of identity on the same; ``None`` as for `guide_identity_right`."""
    num_verify: int
    """The number of these perturbations."""
    probe_right: int
    """Right answers of the path on other questions on which it was tried (transfer): those whose
    answers identity is least sure of."""
    probe_identity_right: int
    """Right answers of identity on the same."""
    num_probes: int
    """The number of these questions."""
    credible: bool
    """Whether all that the preset requires is fulfilled."""
    num_screened: int | None = None
    """The number of questions from which the probes were chosen; identity was asked all. What the
    path may lose is a share of these. ``None`` stands in corpora that were written before it was
    recorded, as for `probe_chance`."""
    probe_chance: float | None = None
    """The share of the probes that guesses would answer; ``None`` also unless all have choices."""


LATER_EVIDENCE = ("num_screened", "probe_chance")
"""The fields of `PathEvidence` that older corpora lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRecord:
    """One searched example, immutable.

    Everything but margins is reproducible from the seed.
    """

    example: Example
    """The example."""
    identity: Verdict | None
    """The plain model's verdict; ``None`` if the identity path failed, and then nothing was
    searched."""
    evaluated: tuple[PathVerdict, ...]
    """Every path that was delivered to the tree, identity first, in the order in which it was
    proposed."""
    failures: tuple[PathFailure, ...]
    """The paths without a verdict; where evidence is asked for, also those that failed on
    perturbations (the message says so)."""
    best: tuple[PathVerdict, ...]
    """The best paths, best first: the identity path alone where nothing better was found and
    identity is right, and none where no path is right. If the preset asks for evidence, all of them
    are credible."""
    pareto: tuple[PathVerdict, ...]
    """The Pareto front of (reward up, length down), shortest first."""
    stop_reason: str
    """Why the search ended: ``improved``, ``budget``, ``exhausted`` or ``failed``."""
    evidence: tuple[PathEvidence, ...] = ()
    """The evidence of every path that was examined, in the order of examination; none if the preset
    asks for no evidence."""
    unguarded: tuple[PathVerdict, ...] = ()
    """What ``best`` would be without evidence, if the preset asks for it; it is partly luck."""

    @property
    def has_failed(self) -> bool:
        """Whether there is no verdict at all, for a reason that others may share."""
        return self.identity is None and bool(self.failures)


def failed_record(example: Example, num_layers: int, *, kind: str, message: str) -> ExampleRecord:
    """The record of an example that could not be searched at all, and why.

    It holds no verdict, not even that of identity.
    """
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
