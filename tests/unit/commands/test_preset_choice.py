"""Which preset a search uses where none is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.run_folders import PROVENANCE

from search_cluster.commands.preset_choice import choose_preset, preset_of_run
from search_cluster.config import SearchConfig
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.errors import ConfigError
from search_cluster.search.study.study import MenuStudy, num_probes_studied
from search_cluster.tasks.example import Example
from search_cluster.tree.presets.credible import CREDIBLE
from search_cluster.tree.presets.registry import PRESETS, get_preset


def chosen(
    num_examples: int, num_questions: int = 1000, begun: str | None = None, **settings: Any
) -> tuple[str, str]:
    preset, note = choose_preset(
        SearchConfig(**settings),
        num_examples=num_examples,
        num_questions=num_questions,
        begun_with=begun,
    )
    return preset.name, note or ""


def test_a_named_preset_is_taken_whatever_the_size() -> None:
    assert chosen(1, preset="credible") == ("credible", "")
    assert chosen(1000, preset="drllm") == ("drllm", "")
    assert chosen(1, preset="default") == ("credible", ""), "the former name"


def test_enough_questions_are_searched_with_credible() -> None:
    assert chosen(40) == ("credible", "")
    assert chosen(32, budget=10) == ("credible", "")


@pytest.mark.parametrize(
    ("num_examples", "num_questions", "budget", "evaluations"),
    [(31, 1000, 10, 186), (3, 1000, 50, 99), (11, 11, 50, 363), (1000, 1000, 4, 0)],
)
def test_too_few_are_searched_with_drllm_and_that_is_said(
    num_examples: int, num_questions: int, budget: int, evaluations: int
) -> None:
    name, note = chosen(num_examples, num_questions, budget=budget)
    assert name == "drllm"
    assert "\n" not in note
    assert (
        f"{num_examples} questions (of {num_questions}) with a budget of {budget} "
        f"leave {evaluations} evaluations" in note
    )
    assert "searching with preset drllm instead" in note


def test_a_run_goes_on_with_the_preset_that_it_was_begun_with() -> None:
    assert chosen(1000, begun="drllm") == ("drllm", "")
    assert chosen(3, begun="credible") == ("credible", "")
    assert chosen(3, begun="credible", preset="polar") == ("polar", ""), (
        "what is named is taken, and refused later"
    )


def test_a_setting_of_tree_searches_asks_for_one() -> None:
    assert chosen(1000, exploration=1.0)[0] == "drllm"
    assert (
        "exploration is a setting of searches that walk a tree" in chosen(1000, exploration=1.0)[1]
    )
    with pytest.raises(ConfigError, match="preset 'credible' has no score that counts visits"):
        chosen(1000, exploration=1.0, preset="credible")


@pytest.mark.parametrize("num_probes", [11, 12, 384, 1000])
@pytest.mark.parametrize("max_evaluations", [0, 191, 192, 528, 100_000])
def test_the_rule_is_the_one_by_which_studies_are_made(
    num_probes: int, max_evaluations: int
) -> None:
    plan = CREDIBLE.study
    assert plan is not None
    probes = [
        Example(task="t", question=f"q{number}", gold="g", split="train", source="made up")
        for number in range(num_probes)
    ]
    study = MenuStudy(
        probes, num_layers=6, max_evaluations=max_evaluations, plan=plan, max_drop=0.05
    )
    assert (num_probes_studied(num_probes, max_evaluations, plan) > 0) == bool(study.next_round())


def test_the_former_name_is_an_alias_and_no_preset_of_its_own() -> None:
    assert get_preset("default") is get_preset("credible") is CREDIBLE
    assert "default" not in PRESETS
    with pytest.raises(ConfigError, match=r"presets are: chain, .*credible") as error:
        get_preset("nope")
    assert "default" not in str(error.value)


@pytest.mark.parametrize(
    ("evidence", "max_probe_drop"),
    [
        ("guide=3;verify=3;max_probe_drop=0.05;min_right=1", 0.05),
        ("guide=3;verify=3;max_probe_drop=0.05;min_right=1;min_probe_share=0.05;frames=1", 0.05),
        ("kept if any", 0.04),
        ("", 0.04),
    ],
)
@pytest.mark.parametrize("named", [None, "credible"])
def test_a_run_goes_on_with_the_rule_that_it_was_begun_with(
    tmp_path: Path, evidence: str, max_probe_drop: float, named: str | None
) -> None:
    begun = replace(PROVENANCE, preset="credible", evidence=evidence)
    with CorpusWriter(tmp_path, begun) as writer:
        writer.close({})
    preset = preset_of_run(SearchConfig(run=tmp_path, preset=named), 100, 1000)
    assert CREDIBLE.evidence is not None
    assert preset.evidence == replace(CREDIBLE.evidence, max_probe_drop=max_probe_drop)
