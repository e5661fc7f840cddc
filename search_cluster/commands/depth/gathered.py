"""All that a study has read and executed, ready to be counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search_cluster.model.depth_states.executed_answers import ExecutedAnswers
from search_cluster.model.depth_states.later_tokens import LaterTokens
from search_cluster.model.depth_states.patch_readings import PatchReadings
from search_cluster.model.depth_states.tables import Ints, PathReadings, ReadingTable
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GatheredText:
    """Positions of text."""

    source: str
    table: ReadingTable
    counts_V: Ints
    """How often each token stands in the corpus."""
    bias: ReadingTable | None
    """The positions at which the lens' own bias is checked."""
    word: int
    """The frequent word."""
    taught: int
    """Positions of the fit that it follows."""
    shuffled: ReadingTable | None
    """The first positions, read by the tuned lens with its translators shuffled."""
    order: tuple[int, ...] | None
    """The translator that reads each depth then."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LetterForm:
    """Some of the questions that are asked for letters, in another form."""

    name: str
    rows_N: Ints
    """Their rows among all of them."""
    table: ReadingTable
    order_NC: Ints
    """The usual place of the choice at each place."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GatheredLetters:
    """Questions that are asked for letters."""

    table: ReadingTable
    """The letters of the choices are asked for, then as many that are none."""
    gold_N: Ints
    """The place of the right one."""
    forms: tuple[LetterForm, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TextForm:
    """Some of the questions as the task asks them, with their choices in another order."""

    questions: tuple[int, ...]
    """Their numbers."""
    decisions: ReadingTable
    later: LaterTokens
    order_NC: Ints
    """The usual place of the choice at each place."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GatheredQuestions:
    """A task's questions; those of which nothing is missing."""

    task: str
    split: str
    gold_Q: Ints
    """The right choice; -1 where there are no choices."""
    fact_Q: Ints
    """The fact that each asks for."""
    num_choices: tuple[int, ...]
    left_out: int
    decisions: ReadingTable | None
    """Where answers begin; ``None`` where answers are generated."""
    later: LaterTokens | None
    letters: GatheredLetters | None
    texts: TextForm | None
    texts_are_shown: bool | None
    """Whether prompts show the choices in their order; ``None``: it was not looked at."""
    prefixes: ExecutedAnswers | None
    """The paths of the layers 0..k-1, k = 1, ..., L."""
    plain: ExecutedAnswers
    """The plain model's answers."""
    found: ExecutedAnswers | None
    """Those of the study's paths."""
    skips: ExecutedAnswers | None
    """Those of each single skip, on the first questions."""
    num_options: int
    """The largest number of choices of a question."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GatheredPatch:
    """Runs of one task's prompts with the states of another's."""

    donor: str
    recipient: str
    donor_options: tuple[str, ...]
    recipient_options: tuple[str, ...]
    gold_N: Ints
    """The place of each donor's right option."""
    fact_N: Ints
    """Equal for pairs whose donors, or whose recipients, ask for one fact."""
    donors: ReadingTable
    readings: PatchReadings


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Gathered:
    """All of a study."""

    text: GatheredText
    words: ReadingTable | None
    facts: Sequence[tuple[str, ReadingTable]]
    """By source."""
    questions: GatheredQuestions
    paths: tuple[LayerPath, ...]
    along: Sequence[Mapping[str, PathReadings]]
    """For each path and lens."""
    patch: GatheredPatch | None
