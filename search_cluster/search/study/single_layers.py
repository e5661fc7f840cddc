"""The order in which single layers are skipped, by few answers and by what is known beforehand."""

from collections.abc import Mapping, Sequence

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.gain import mean_gain, pulled
from search_cluster.scan.racing.usual import falling_gain
from search_cluster.search.study.answers import ProbeAnswers


def by_change(
    answers: ProbeAnswers, paths: Sequence[LayerPath], influence: Mapping[LayerPath, float]
) -> list[LayerPath]:
    """Paths that skip a layer, those first that ran on more probes, then those that change less.

    With influences the change is pulled towards that of layers of as much influence, which the
    paths that ran on as many probes teach.

    Args:
        answers: to the probes.
        paths: the paths.
        influence: how much the layer of each path changes states; empty: nobody knows.
    """
    by_answers = sorted(paths, key=answers.rank)
    if not influence:
        return by_answers
    seen = {path: answers.changes(path, answers.identity) for path in by_answers}
    num_most = max(map(len, seen.values()), default=0)
    if not num_most:
        return sorted(by_answers, key=lambda path: (influence[path], path.layers))
    first = [path for path in by_answers if len(seen[path]) == num_most]
    losses = {path: mean_gain([-change for change in seen[path]]) for path in first}
    usual = falling_gain((influence[path], loss) for path, loss in losses.items())
    expected = {path: pulled(loss, usual(influence[path])).mean for path, loss in losses.items()}
    first.sort(key=lambda path: (-expected[path], path.layers))
    return [*first, *(path for path in by_answers if path not in expected)]
