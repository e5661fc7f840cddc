"""Which preset a search uses: the named one, else that of the begun run, else one that fits."""

import logging
from dataclasses import replace

from search_cluster.config import CREDIBLE_PRESET, FALLBACK_PRESET, SearchConfig
from search_cluster.corpus.reader import provenance_so_far
from search_cluster.search.study.study import num_probes_studied
from search_cluster.tree.presets.registry import get_preset
from search_cluster.tree.settings import SearchPreset, with_score

logger = logging.getLogger(__name__)


def preset_of_run(config: SearchConfig, num_examples: int, num_questions: int) -> SearchPreset:
    """The preset of this run; a choice that the user may not expect is said in one line."""
    begun = provenance_so_far(config.run)
    preset, note = choose_preset(
        config,
        num_examples=num_examples,
        num_questions=num_questions,
        begun_with=None if begun is None else begun.preset,
    )
    if note is not None:
        logger.warning("%s", note)
    if begun is not None and begun.evidence and preset.evidence is not None:
        rule = preset.evidence.with_drop_of(begun.evidence)
        preset = replace(preset, evidence=rule)
    return preset


def choose_preset(
    config: SearchConfig, *, num_examples: int, num_questions: int, begun_with: str | None
) -> tuple[SearchPreset, str | None]:
    """The preset with the settings' changes, and a line for a user who may expect another one.

    Args:
        config: the settings; `SearchConfig.preset` is ``None`` where no preset is named.
        num_examples: questions that are searched.
        num_questions: questions of the split, which a study may ask.
        begun_with: the preset that the run folder was begun with, if it was begun.

    Raises:
        ConfigError: the preset is unknown, or a setting is none of its.
    """
    named = config.preset or begun_with
    if named is not None:
        return preset_with_settings(named, config), None
    if config.visit_total is not None or config.exploration is not None:
        name = "visit_total" if config.visit_total is not None else "exploration"
        return preset_with_settings(FALLBACK_PRESET, config), (
            f"no preset is named, and {name} is a setting of searches that walk a tree: searching "
            f"with preset {FALLBACK_PRESET}"
        )
    preset = preset_with_settings(CREDIBLE_PRESET, config)
    assert preset.study is not None, "the preset that is credible studies other questions"
    num_evaluations = preset.study_budget * num_examples
    if config.study is not None or num_probes_studied(num_questions, num_evaluations, preset.study):
        return preset, None
    return preset_with_settings(FALLBACK_PRESET, config), (
        f"no preset is named, and {num_examples} questions (of {num_questions}) with a budget of "
        f"{preset.budget} leave {num_evaluations} evaluations for the study of preset "
        f"{CREDIBLE_PRESET}, too few: searching with preset {FALLBACK_PRESET} instead, whose best "
        "paths prove nothing"
    )


def preset_with_settings(name: str, config: SearchConfig) -> SearchPreset:
    """The preset of that name with the settings' changes.

    Raises:
        ConfigError: the preset is unknown, or a setting is none of its.
    """
    preset = with_score(
        get_preset(name), visit_total=config.visit_total, exploration=config.exploration
    )
    return replace(
        preset,
        budget=preset.budget if config.budget is None else config.budget,
        leaves_per_round=preset.leaves_per_round
        if config.leaves_per_round is None
        else config.leaves_per_round,
    )
