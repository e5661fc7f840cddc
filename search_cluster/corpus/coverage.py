"""Which few paths of a corpus serve many questions: a menu by greedy coverage."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.corpus.record import ExampleRecord
from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath

PICKED_BY = (
    "greedy coverage of right answers, then of saved layers; best paths of the corpus; identity "
    "first"
)
"""How `pick_menu` chooses, for provenance; it changes whenever the choice does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuChoice:
    """A path on a menu and what it added when it was chosen, by the corpus' own verdicts.

    Paths that were asked for by name have counts of 0.
    """

    path: LayerPath
    """The path."""
    newly_right: int
    """The number of questions that it answers right and no earlier choice does."""
    layers_saved: int
    """The number of layers by which it is shorter than the shortest right choice before it (or than
    identity), over all questions that it answers right."""


def candidate_paths(record: ExampleRecord) -> tuple[LayerPath, ...]:
    """The paths that a question proposes for the menu: its best ones.

    They are credible if the preset asked for evidence.
    """
    return tuple(item.path for item in record.best)


def pick_menu(
    records: Sequence[ExampleRecord], *, num_layers: int, size: int
) -> tuple[MenuChoice, ...]:
    """Identity and up to ``size - 1`` other paths, each the one that adds most to those before it.

    What a path adds is the number of questions newly answered right. Among equals the layers saved
    decide, then the length of the path, then its layers; the smaller ones win. Only verdicts of
    the corpus count, so a path adds nothing on questions on which it was not tried. The menu ends
    early where no path adds anything.

    Args:
        records: the records of the corpus.
        num_layers: the depth of its model.
        size: the largest number of paths, identity included.

    Raises:
        InvalidValueError: the size is below 1.
    """
    if size < 1:
        raise InvalidValueError(
            f"a menu of {size} paths; it holds at least identity, so ask for 1 or more"
        )
    identity = LayerPath.identity(num_layers)
    candidates = {path for record in records for path in candidate_paths(record)} - {identity}
    right_on: defaultdict[LayerPath, list[int]] = defaultdict(list)
    for number, record in enumerate(records):
        for item in record.evaluated:
            if item.verdict.is_correct and (item.path in candidates or item.path == identity):
                right_on[item.path].append(number)
    shortest = [num_layers] * len(records)
    answered = set(right_on[identity])
    menu = [MenuChoice(path=identity, newly_right=len(answered), layers_saved=0)]
    while len(menu) < size and candidates:
        choice = min(
            (_gain(path, right_on[path], answered, shortest) for path in candidates),
            key=lambda gain: (
                -gain.newly_right,
                -gain.layers_saved,
                len(gain.path),
                gain.path.layers,
            ),
        )
        if not choice.newly_right and not choice.layers_saved:
            break
        menu.append(choice)
        candidates.remove(choice.path)
        for number in right_on[choice.path]:
            answered.add(number)
            shortest[number] = min(shortest[number], len(choice.path))
    return tuple(menu)


def _gain(
    path: LayerPath, right_on: Sequence[int], answered: set[int], shortest: Sequence[int]
) -> MenuChoice:
    return MenuChoice(
        path=path,
        newly_right=sum(number not in answered for number in right_on),
        layers_saved=sum(max(0, shortest[number] - len(path)) for number in right_on),
    )
