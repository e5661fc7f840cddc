"""A search that a test can disturb: every grade takes its time until the test lets it hurry."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from search_cluster.commands.search import run_search
from search_cluster.config import SearchConfig

SLOW_TASK = Path(__file__).parents[1] / "integration" / "data" / "slow_task.py"
SETTINGS = {"limit": 40, "budget": 24, "examples_per_shard": 16}
MAX_IN_FLIGHT = 2 * 2 * 16
"""Two workers with two batches of 16 each."""


class SlowSearch:
    """A task and settings of their own in ``folder``.

    Args:
        folder: existing; may hold run folders, too.
        model_dir: the model.
        pause_s: before each grade.
        dtype: as the setting of that name.
    """

    def __init__(
        self, folder: Path, model_dir: str, pause_s: float, *, dtype: str = "auto"
    ) -> None:
        self._pause = folder / "pause_s"
        self._pause.write_text(str(pause_s))
        task = str(shutil.copy(SLOW_TASK, folder / "slow_task.py"))
        self.config = SearchConfig(
            model=model_dir,
            task=task,
            preset="drllm",
            dtype=dtype,
            **SETTINGS,  # type: ignore[arg-type]
        )
        self.settings = folder / "slow.toml"
        numbers = "".join(f"{name} = {value}\n" for name, value in SETTINGS.items())
        words = f'model = "{model_dir}"\ntask = "{task}"\npreset = "drllm"\ndtype = "{dtype}"\n'
        self.settings.write_text(words + numbers)
        self.command = ["search-cluster", "search", "--config", str(self.settings)]

    def hurry(self) -> None:
        """Processes that start from now on take no pause."""
        self._pause.unlink()

    def undisturbed(self, run_dir: Path) -> dict[str, Any]:
        """The result of a run in this process that nothing disturbs."""
        return run_search(replace(self.config, ray="none", redis_url="none", run=run_dir))
