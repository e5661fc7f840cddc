import pytest
import torch
from support.loaded_tiny import loaded_tiny

from search_cluster.depth.choices import choice_scores
from search_cluster.model.depth_states.answer_probes import fact_probes, gold_probes
from search_cluster.model.depth_states.question_probes import question_probes, read_questions
from search_cluster.model.depth_states.tables import LOGIT
from search_cluster.model.lens.lens import Lens
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import encode_example
from search_cluster.model.scoring import score_choices
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples

TASK = get_task("elements")
EXAMPLES = select_examples(TASK.load("train", None).examples, 5, 0)


@pytest.mark.parametrize("chat", [False, True])
def test_choices_are_scored_at_each_depth_as_the_product_scores_prefix_paths(chat: bool) -> None:
    loaded = loaded_tiny(chat=chat)
    probes = [
        probe
        for number, example in enumerate(EXAMPLES)
        for probe in question_probes(loaded, TASK, example, number)
    ]
    decisions, later = read_questions(loaded, {LOGIT: Lens.logit(loaded.model)}, probes)
    scores = choice_scores(decisions, later, LOGIT, range(len(EXAMPLES))).score_SQC
    for depth in (1, 3, loaded.num_layers):
        path = materialise(loaded.model, LayerPath(tuple(range(depth)), loaded.num_layers))
        for number, example in enumerate(EXAMPLES):
            wanted = score_choices(path, encode_example(loaded, TASK, example))
            assert scores[depth, number].tolist() == pytest.approx(wanted, abs=1e-3)


def test_answers_of_several_tokens_are_asked_token_by_token() -> None:
    loaded = loaded_tiny()
    (probe,), _ = fact_probes(
        loaded, [("the city", "of ab"), ("the city", "of ab")], num_facts=5, seed=0
    )
    assert probe.labels == tuple(
        10 * len(probe.labels) + at for at in range(1, 1 + len(probe.labels))
    )
    whole = (*probe.ids, probe.asked[-1][0])
    for position, asked in zip(probe.positions, probe.asked, strict=True):
        assert whole[position + 1] == asked[0]
    assert len(gold_probes(loaded, TASK, EXAMPLES)) == len(EXAMPLES)
    assert torch.tensor(whole).max() < loaded.model.config.vocab_size
