"""``search --study DIR``: a finished scan takes the place of the study of a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search_cluster.commands.scan.scanned import require_same_questions
from search_cluster.errors import ConfigError
from search_cluster.identity import ModelIdentity
from search_cluster.paths.codec import parse_path
from search_cluster.scan.questions import task_questions
from search_cluster.scan.result import ScanResult
from search_cluster.scan.result_file import read_result
from search_cluster.scan.table import SCAN_TABLE_NAME, read_scan_table
from search_cluster.search.search_plan import Studied
from search_cluster.search.study.from_scan import menu_of_scan
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tree.settings import SearchPreset


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanStudy:
    """A scan's folder and what it found."""

    folder: Path
    result: ScanResult

    def studied(
        self,
        task: Task,
        preset: SearchPreset,
        model: ModelIdentity,
        searched: Sequence[Example],
        data_dir: Path | None,
    ) -> Studied:
        """What the scan leaves to the searches after it, which pay nothing for it.

        Args:
            task: of the search.
            preset: of the search; it plans a study.
            model: of the search.
            searched: the questions that are searched; what the scan asked of them has no say.
            data_dir: where the task's data is.

        Raises:
            ConfigError: the scan is of another model, or of other data.
        """
        if not model.is_known_as(self.result.model_fingerprint):
            raise ConfigError(
                f"study {self.folder} scanned model {self.result.model} with the fingerprint "
                f"{self.result.model_fingerprint}, and this model has {model.fingerprint}; scan "
                "this model, or leave --study out"
            )
        assert preset.study is not None, "asked of presets with a study"
        assert preset.evidence is not None, "a study serves a search that asks for evidence"
        finalists = {
            parse_path(item.summary.path, self.result.num_layers) for item in self.result.finalists
        }
        table = read_scan_table(self.folder / SCAN_TABLE_NAME)
        questions = task_questions(task, resolve_data_dir(data_dir), self.result.seed)
        require_same_questions(
            table, {task.name: questions}, self.folder, "scan this task, or leave --study out"
        )
        menu = menu_of_scan(
            table,
            questions,
            finalists,
            num_raced=self.result.num_raced,
            without={example.example_id for example in searched},
            max_drop=preset.evidence.max_probe_drop,
            max_paths=preset.study.max_menu,
        )
        return Studied(menu=menu)


def read_study(folder: Path, task: Task, preset: SearchPreset) -> ScanStudy:
    """The finished scan in a folder, for a search of a task.

    Raises:
        ConfigError: the preset makes no study, or the scan is of another task.
        CorpusError: the folder has no finished scan.
    """
    if preset.study is None:
        raise ConfigError(
            f"study is {folder}, and preset {preset.name} makes none; use --preset credible, or "
            "leave --study out"
        )
    result = read_result(folder)
    if task.name not in result.tasks:
        raise ConfigError(
            f"study {folder} scanned {', '.join(result.tasks)}, and this search is of {task.name}; "
            "scan that task, or leave --study out"
        )
    return ScanStudy(folder=folder, result=result)
