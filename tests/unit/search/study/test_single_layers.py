"""Single layers in order, by few answers and by what is known of them beforehand."""

from collections.abc import Mapping, Sequence

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.search.study.answers import ProbeAnswers
from search_cluster.search.study.single_layers import by_change
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

NUM_LAYERS = 8
IDENTITY = LayerPath.identity(NUM_LAYERS)
SKIPS = [path_of_edits([Edit(layer, layer + 1, 0)], NUM_LAYERS) for layer in range(NUM_LAYERS)]
INFLUENCE = {path: 0.1 * (layer + 1) for layer, path in enumerate(SKIPS)}


def verdict(margin: float) -> Verdict:
    return Verdict(reward=float(margin > 0), margin=margin, output="", num_layer_tokens=8)


def answered(margins: Mapping[LayerPath, Sequence[float]]) -> ProbeAnswers:
    probes = [
        Example(task="t", question=str(number), gold="g", split="train", source="test")
        for number in range(8)
    ]
    answers = ProbeAnswers(probes, IDENTITY, max_drop=0.01)
    answers.by_path[IDENTITY] = [verdict(1.0)] * 8
    for path, of_path in margins.items():
        answers.by_path[path] = [verdict(margin) for margin in of_path]
    return answers


def test_before_any_answer_influence_is_the_order() -> None:
    shuffled = [SKIPS[place] for place in (3, 0, 7, 5, 1, 2, 6, 4)]
    assert by_change(answered({}), shuffled, INFLUENCE) == SKIPS
    assert by_change(answered({}), shuffled, {}) == SKIPS[::-1]  # by layers


def test_few_answers_are_pulled_towards_layers_of_as_much_influence() -> None:
    """The last layer looks harmless by luck on two probes, and the first one harmful."""
    changes = [0.625, 0.375, 0.375, 0.5, 0.5, 0.5, 0.625, 0.375]  # two nats of margin are 1
    answers = answered(
        {
            path: [1.0 - 2.0 * (change + noise) for noise in (-0.25, 0.25)]
            for path, change in zip(SKIPS, changes, strict=True)
        }
    )
    plain = by_change(answers, SKIPS, {})
    pulled = by_change(answers, SKIPS, INFLUENCE)
    assert plain[0] == SKIPS[7]
    assert pulled.index(SKIPS[7]) > plain.index(SKIPS[7])
    assert pulled.index(SKIPS[0]) < plain.index(SKIPS[0])


def test_sure_answers_have_the_last_word_and_more_probes_go_first() -> None:
    sure = {path: (1.0 - 0.3 * (8 - layer),) * 8 for layer, path in enumerate(SKIPS)}
    del sure[SKIPS[4]]
    few = answered({**sure, SKIPS[4]: (1.0,)})
    assert by_change(few, SKIPS, INFLUENCE) == [
        *(SKIPS[layer] for layer in (7, 6, 5, 3, 2, 1, 0)),
        SKIPS[4],
    ]
