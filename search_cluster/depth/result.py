"""What a depth study found: the file ``depth.json`` of its folder.

Depth d is the state after d layers; depth 0 is the embedding, the last depth the model's output.
Figures have 95 % intervals that draw whole prompts again, of questions and answers whole facts, and
say how many positions (or questions) and prompts (or facts) they are of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

from search_cluster.corpus.json_files import read_value, require_schema, write_value
from search_cluster.depth.bias import BiasFigures
from search_cluster.depth.buckets import GuessFigures, TokenBucket
from search_cluster.depth.contrasts import Contrast
from search_cluster.depth.facts import TokenOrder
from search_cluster.depth.layers import LayerCard, PriorCheck
from search_cluster.depth.lens_control import LensControl
from search_cluster.depth.onset import OnsetFigures
from search_cluster.depth.options import OptionRace
from search_cluster.depth.orders import OrderControl
from search_cluster.depth.patching import PatchPart
from search_cluster.depth.prediction import DepthPrediction
from search_cluster.depth.repair import PathFigures
from search_cluster.depth.resamples import Measured
from search_cluster.depth.verdicts import DepthAgreement, PrefixCheck

DEPTH_SCHEMA = 1
"""The version of ``depth.json``."""
DEPTH_NAME = "depth.json"
"""The file's name in the study's folder."""
_AGAIN = "run the same study again, which computes nothing twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """What positions of text say."""

    source: str
    corpus_tokens: int
    """Tokens that frequencies were counted on."""
    buckets: tuple[TokenBucket, ...]
    guesses: tuple[GuessFigures, ...]
    """One for each lens."""
    onsets: tuple[OnsetFigures, ...]
    bias: BiasFigures | None
    control: LensControl | None = None
    """The tuned lens beside itself with its translators shuffled; ``None``: it was not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordClassPart:
    """What word classes say."""

    source: str
    onsets: tuple[OnsetFigures, ...]
    contrasts: tuple[Contrast, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactPart:
    """What answers of several tokens say."""

    source: str
    onsets: tuple[OnsetFigures, ...]
    orders: tuple[TokenOrder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEffect:
    """What a path does to the answers of the study's questions."""

    path: str
    accuracy: Measured
    change: Measured
    """The path's accuracy minus the plain model's, on the same questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionPart:
    """What a task's questions say."""

    task: str
    split: str
    questions: int
    left_out: int
    """Questions that can't be asked, or to which something failed."""
    accuracy: Measured
    """The plain model's."""
    chance: float
    """The accuracy of guesses."""
    races: tuple[OptionRace, ...]
    prefix_check: PrefixCheck | None
    """``None`` where answers are generated: those of a prefix are no reading of a lens."""
    agreements: tuple[DepthAgreement, ...]
    path_effects: tuple[PathEffect, ...]
    predictions: tuple[DepthPrediction, ...]
    order_controls: tuple[OrderControl, ...] = ()
    """The same questions with their choices in another order, and with other letters."""
    texts_are_shown: bool | None = None
    """Whether prompts show the choices in their order; where they don't, another order is no
    control of texts. ``None``: it was not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthResult:
    """What a depth study found, and all that it depends on."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = DEPTH_SCHEMA
    model: str
    model_fingerprint: str
    num_layers: int
    dtype: str
    seed: int
    lens: str
    """Where the tuned lens came from."""
    thresholds: tuple[int, ...]
    """The ranks at which onsets are counted."""
    text: TextPart
    word_classes: WordClassPart | None
    facts: tuple[FactPart, ...]
    questions: QuestionPart | None
    paths: tuple[PathFigures, ...]
    layers: tuple[LayerCard, ...]
    prior_checks: tuple[PriorCheck, ...]
    notes: tuple[str, ...]
    """What a reader should know, a line each."""
    counts: Mapping[str, int]
    """Positions read, head reads, executed verdicts."""
    patching: PatchPart | None = None
    """One task's states in the runs of another; ``None``: it was not asked for."""
    versions: Mapping[str, str]
    """The versions of search-cluster, torch, transformers and python."""


_RESULT = TypeAdapter(DepthResult)


def write_depth_result(folder: Path, result: DepthResult) -> Path:
    """Write what a study found, atomically; returns the file.

    Raises:
        CorpusError: the operating system refused.
    """
    target = folder / DEPTH_NAME
    write_value(target, _RESULT, result)
    return target


def holds_study(folder: Path) -> bool:
    """Whether a depth study has ended in this folder."""
    return (folder / DEPTH_NAME).is_file()


def read_depth_result(folder: Path) -> DepthResult:
    """What the study of a folder found.

    Raises:
        CorpusError: there is no such file, it holds something else, or another version wrote it.
    """
    path = folder / DEPTH_NAME
    result = read_value(path, _RESULT, remedy=_AGAIN)
    require_schema(path, result.schema, DEPTH_SCHEMA, again="study again")
    return result
