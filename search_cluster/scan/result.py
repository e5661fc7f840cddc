"""What a scan found: the file ``scan.json`` of its folder.

Gains are differences of accuracy from the plain model on the same questions, in [-1, 1]; intervals
hold at 95 % for all paths that were compared at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ConfigDict

from search_cluster.scan.edits import Edit

SCAN_SCHEMA = 1
"""The version of ``scan.json``."""
SCAN_NAME = "scan.json"
"""The file's name in the run folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One path against the plain model on the same questions."""

    num_questions: int
    """The number of questions, those that the plain model gave no answer to not among them."""
    num_compared: int
    """How many paths the interval and the p-value allow for."""
    accuracy: float
    """The path's accuracy."""
    plain_accuracy: float
    """The plain model's."""
    gain: float
    """The difference of the two."""
    low: float
    """The lower end of the gain's simultaneous interval."""
    high: float
    """The upper end."""
    p_adjusted: float
    """The p-value of no difference, adjusted for all paths that were compared."""
    num_facts: int | None = None
    """The number of facts that the questions ask for, which is what intervals count; ``None``: a
    former version took each question for a fact of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSummary:
    """What the search said of one path, on questions of train."""

    path: str
    """As `LayerPath` writes itself."""
    layers: int | float
    """What the path costs, in layers: its length, and what the bridges that it crosses cost."""
    edits: tuple[Edit, ...]
    """What was done to the plain path; none for a path of a list that no edits make."""
    step: int
    """0: all single edits; 1 and more: the steps of growth."""
    train: Standing
    """On all questions of the race that it ran on; flattered by the choice."""
    worth: float
    """Mean worth of its answers minus that of the plain model's, less the luck that its questions
    are known to have."""
    shrunk: float
    """The same, pulled towards what paths that change answers as much are usually worth."""
    is_wreck: bool = False
    """Whether it was stopped because it ruins the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What a path takes, beside the plain model in the same run, on one machine."""

    batch: int
    """Questions, or sequences, at a time."""
    seconds: float
    """The median of several runs."""
    plain_seconds: float
    """The plain model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """A path that validation looked at."""

    summary: CandidateSummary
    """What the search said of it."""
    validation: Standing | None = None
    """On validation, by task pooled."""
    test: Standing | None = None
    """On test, of the few paths that are reported; else ``None``."""
    test_by_task: Mapping[str, Standing] = field(default_factory=dict)
    """The same, for each task of several."""
    guards: Mapping[str, Standing] = field(default_factory=dict)
    """On tasks that it must not lose on."""
    timings: tuple[Timing, ...] = ()
    """What it takes; empty if it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One round of the race."""

    step: int
    """0: all single edits; 1 and more: the steps of growth."""
    num_questions: int
    """Questions on which each path has run when the round ends."""
    num_paths: int
    """Paths in the round."""
    num_wrecks: int
    """Paths that were stopped after it because they ruin the model."""
    num_kept: int
    """Paths that went on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Questions that the plain model gave no answer to, so that nobody is compared on them."""

    split: str
    """``train``, ``validation``, ``test``, or the name of a guard."""
    num_questions: int
    """The number of them, at least one."""
    num_asked: int
    """The number of all questions of the split that were asked."""
    cause: str
    """Why, for most of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """What a scan found, and all that it depends on."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = SCAN_SCHEMA
    """The version of the file."""
    model: str
    """As the settings name it."""
    model_fingerprint: str
    """What its weights and tokenizer are."""
    num_layers: int
    """The model's depth."""
    dtype: str
    """The dtype of the arithmetic."""
    chat: str = ""
    """Whether questions were asked in the tokenizer's chat template: ``always`` or ``never``; empty
    for ``auto``, the template that there is."""
    tasks: tuple[str, ...]
    """Names of the tasks."""
    guards: tuple[str, ...]
    """Names of the tasks on which a path must not lose."""
    families: tuple[str, ...]
    """``skip``, ``repeat``, ``list``."""
    max_block: int
    """Layers in the largest block."""
    passes: int
    """How often a repeated block runs at most."""
    grow: int
    """Edits in a path at most."""
    aim: str
    """``accuracy``, ``layers`` or ``front``."""
    seed: int
    """The seed of the draws of questions."""
    limit: int | None = None
    """The largest number of questions of one look, as the settings say it; ``None``: the usual."""
    budget: int | None = None
    """The largest number of verdicts; ``None``: as many as the plan needs."""
    minutes: float | None = None
    """When the search was to end; what was found then depends on the machine's speed."""
    depth_prior: str = ""
    """The digest of what was known of layers beforehand; empty if nothing."""
    stopped_by: str = ""
    """``minutes`` or ``budget`` if that ended the search before its plan."""
    made_splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By task: the splits that were cut from train, because the task has none."""
    verdict_context: str
    """The namespace of the verdicts; those of several tasks, separated by commas."""
    rungs: tuple[Rung, ...]
    """The race, in order."""
    candidates: tuple[CandidateSummary, ...]
    """All paths that were tried, identity not among them, in the order in which they were made."""
    finalists: tuple[Finalist, ...]
    """Those that validation looked at, the best first."""
    chosen: str
    """The path that is reported; the plain one if nothing is sure."""
    sure: bool
    """Whether test says, at 95 % and for all paths reported, that it is better."""
    chance_best: float
    """What the best of `chance_paths` would gain by chance on `chance_questions`: the first ones by
    which paths were chosen."""
    chance_paths: int = 0
    """The paths that ran on them. Those that a first look at some of them left out, as wrecks or by
    a depth prior, are not among them; there are ``num_paths - num_kept`` of the first rung."""
    chance_questions: int = 0
    """The number of the questions, of those that the plain model answered."""
    smallest_gain: float
    """The smallest true gain that the questions of test show with 80 % power."""
    num_candidates: int
    """Paths that were compared."""
    verdicts: int
    """Pairs of path and question that the search asked for, identity's among them."""
    exhaustive_verdicts: int
    """What all paths of the race on all its questions would have taken."""
    test_uses: int
    """How often this run folder has looked at test, this time included."""
    plain_is_guessing: bool = False
    """Whether the plain model can't be told from guesses on test: then no path is better by running
    fewer layers."""
    left_out: tuple[LeftOut, ...] = ()
    """By split: the questions that count for nobody, because the plain model gave no answer."""
    versions: Mapping[str, str]
    """The versions of search-cluster, torch, transformers and python."""
    digest: str
    """SHA-256 of all verdicts and of the choice."""

    @property
    def num_raced(self) -> int:
        """The number of questions of each task that the race asked, before any growth."""
        asked = (rung.num_questions for rung in self.rungs if rung.step == 0)
        return max(asked, default=0) // len(self.tasks)
