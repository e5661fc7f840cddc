"""How examples are searched: a preset becomes the study and the searches of a coordinator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from search_cluster.search.example_search import ExampleSearch
from search_cluster.search.guarded_search import GuardedSearch
from search_cluster.search.study.study import MenuStudy
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.frames import FRAMES_VERSION, takes_frames
from search_cluster.tasks.perturbation.perturbations import EvidenceRole
from search_cluster.tasks.task import Task
from search_cluster.tree.menu import MenuPath, MenuSearch
from search_cluster.tree.settings import SearchPreset

FRAMED_PROBE_SHARE = 0.05
"""The share of probe questions that a path must be right on where frames may be its evidence: on
more than a model that can't do the task is right by luck."""
Perturb = Callable[[Example, EvidenceRole, int], Sequence[Example]]
"""(example, role, count) -> at most ``count`` perturbations of the example."""


def no_perturbations(example: Example, role: EvidenceRole, count: int) -> Sequence[Example]:
    """Stands in for `Perturb` where a task has no perturbations."""
    return ()


def preset_for_task(preset: SearchPreset, task: Task) -> SearchPreset:
    """The preset as it searches a task's questions.

    Where evidence may rest on generic frames, which tell luck from skill less well than a task's
    own wordings, a path must also be right on some other questions: of a model that can't do the
    task, every path is as good as identity there.
    """
    if preset.evidence is None or not takes_frames(task):
        return preset
    rule = replace(preset.evidence, min_probe_share=FRAMED_PROBE_SHARE, frames=FRAMES_VERSION)
    return replace(preset, evidence=rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Studied:
    """What a study left to the searches after it."""

    menu: tuple[MenuPath, ...] = ()
    """Paths that are good for many questions, shortest first."""
    cost_per_example: int = 0
    """Evaluations of the study that each example pays for; all examples pay alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """Makes the study of a run and the search of each of its examples."""

    num_layers: int
    """The model's depth."""
    preset: SearchPreset
    seed: int
    """The whole run's seed; each example derives its own from it."""
    perturb: Perturb = no_perturbations
    """Needed by presets that ask for evidence."""

    def study(self, probes: Sequence[Example], *, num_examples: int) -> MenuStudy | None:
        """The study of so many examples' run; ``None`` if the preset plans none.

        Args:
            probes: other questions, in a random order.
            num_examples: how many examples share its cost.
        """
        preset = self.preset
        if preset.study is None:
            return None
        assert preset.evidence is not None, "a study serves a search that asks for evidence"
        return MenuStudy(
            probes,
            num_layers=self.num_layers,
            max_evaluations=preset.study_budget * num_examples,
            plan=preset.study,
            max_drop=preset.evidence.max_probe_drop,
        )

    def search(self, example: Example, studied: Studied) -> ExampleSearch | GuardedSearch:
        """The search of one example, after a study if the preset plans one."""
        preset = self.preset
        if preset.study is not None:
            preset = replace(preset, strategy=MenuSearch(menu=studied.menu))
        if preset.evidence is None:
            return ExampleSearch(example, num_layers=self.num_layers, preset=preset, seed=self.seed)
        budget = max(1, preset.budget - studied.cost_per_example)
        num_guide, num_verify = preset.affordable_perturbations(budget)
        return GuardedSearch(
            example,
            guide=self.perturb(example, EvidenceRole.GUIDE, num_guide),
            verify=self.perturb(example, EvidenceRole.VERIFY, num_verify),
            menu=studied.menu,
            num_layers=self.num_layers,
            preset=preset,
            budget=budget,
            seed=self.seed,
        )
