"""The Python interface, for notebooks and scripts: what the commands do, and tables of the results.

    from search_cluster.api import scan

    found = scan("elements", run="runs/scan", limit=100)
    print(found.sentence)
    found.candidates()          # a pandas DataFrame
    found.plot().show()         # plotly

Settings are those of the commands, under the names of their flags. Work that is done already is
done at once: the same call on the same folder resumes, and `open_corpus` and `open_scan` read.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_cluster.commands.report import write_run_report
from search_cluster.config import SearchConfig
from search_cluster.corpus.export import flat_rows
from search_cluster.corpus.reader import Corpus, read_corpus
from search_cluster.corpus.summary import summarise
from search_cluster.errors import ConfigError, known_names
from search_cluster.hub.folders import local_folder
from search_cluster.hub_spec import FolderKind
from search_cluster.report.scan.verdict import verdict_line
from search_cluster.report.scan.words import edits_text
from search_cluster.scan.result import ScanResult
from search_cluster.scan.result_file import read_result
from search_cluster.scan.settings import ScanSettings
from search_cluster.scan.table import SCAN_TABLE_NAME

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from datasets import Dataset

    from search_cluster.model.loaded import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedCorpus:
    """A finished corpus and its folder."""

    folder: Path
    """The run folder."""
    corpus: Corpus
    """What it holds, every shard checked."""

    @property
    def summary(self) -> dict[str, Any]:
        """What was found, in figures: accuracies, layers saved, failures."""
        return asdict(summarise(self.corpus.records, self.corpus.manifest.provenance.costs))

    def paths(self) -> "pd.DataFrame":
        """A row for each path that ran on an example.

        Columns are those of ``search-cluster export --format parquet``, with ``path`` as text and
        ``layers`` for its length, and ``is_correct`` and ``is_best``; margins are in nats.
        """
        import pandas as pd

        records = self.corpus.records
        guarded = bool(self.corpus.manifest.provenance.evidence)
        evaluated = [item for record in records for item in record.evaluated]
        rows = [row for record in records for row in flat_rows(record, guarded=guarded)]
        frame = pd.DataFrame(rows).rename(columns={"num_layers_run": "layers"})
        return frame.assign(
            path=[str(item.path) for item in evaluated],
            is_correct=[item.verdict.is_correct for item in evaluated],
            is_best=frame["best_rank"].notna(),
        )

    def dataset(self) -> "Dataset":
        """A row for each example, with its lists of paths, as the Parquet files hold them."""
        return _dataset(*(self.folder / shard.name for shard in self.corpus.manifest.shards))

    def report(self) -> Path:
        """Write the HTML report; returns the file."""
        return write_run_report(self.folder, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedScan:
    """A finished scan and its folder."""

    folder: Path
    """The run folder."""
    result: ScanResult
    """What was found, and all that it depends on."""

    @property
    def path(self) -> str:
        """The path that is reported; the plain one if nothing is sure."""
        return self.result.chosen

    @property
    def sure(self) -> bool:
        """Whether test says that it is better."""
        return self.result.sure

    @property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        return verdict_line(self.result)

    def candidates(self) -> "pd.DataFrame":
        """A row for each path that was tried: its edits, layers, and gain on questions of train.

        Gains are differences of accuracy, in [-1, 1], with simultaneous 95 % intervals; ``shrunk``
        is what a choice goes by. Gains of train are flattered by the choice.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "path": item.path,
                    "edits": edits_text(item),
                    "layers": item.layers,
                    "step": item.step,
                    "num_questions": item.train.num_questions,
                    "gain": item.train.gain,
                    "low": item.train.low,
                    "high": item.train.high,
                    "shrunk": item.shrunk,
                    "is_wreck": item.is_wreck,
                }
                for item in self.result.candidates
            ]
        )

    def finalists(self) -> "pd.DataFrame":
        """A row for each finalist and split on which it was looked at: train, validation, test."""
        import pandas as pd

        looks = [
            (item.summary, split, standing)
            for item in self.result.finalists
            for split, standing in (
                ("train", item.summary.train), ("validation", item.validation), ("test", item.test),
            )
            if standing is not None
        ]  # fmt: skip
        return pd.DataFrame(
            [
                {
                    "path": summary.path,
                    "edits": edits_text(summary),
                    "layers": summary.layers,
                    "split": split,
                    **asdict(standing),
                }
                for summary, split, standing in looks
            ]
        )

    def answers(self) -> "Dataset":
        """A row for each verdict: split, task, example, path, reward, margin, output."""
        return _dataset(self.folder / SCAN_TABLE_NAME)

    def plot(self) -> "go.Figure":
        """The heat map: repeats above the diagonal, skips below.

        Raises:
            ConfigError: no single block was tried.
        """
        from search_cluster.report.scan.heat_map import heat_map_figure

        shown = heat_map_figure(self.result.candidates, self.result.num_layers)
        if shown is None:
            raise ConfigError(f"the scan in {self.folder} tried no single block; it has no map")
        return shown.figure

    def report(self) -> Path:
        """Write the HTML report; returns the file."""
        return write_run_report(self.folder, None)


def load_model(model: str = "demo", **settings: Any) -> "LoadedModel":
    """A frozen model; see `search_cluster.model.load.loading.load_model`.

    Raises:
        ModelError: it can't be loaded; the message says what to do.
    """
    from search_cluster.model.load import loading  # torch: seconds

    return loading.load_model(model, **settings)


def search(task: str, *, run: str | Path, model: str = "demo", **settings: Any) -> SearchedCorpus:
    """Search paths for a task's examples, as ``search-cluster search``.

    Args:
        task: a name or a file.
        run: the run folder; the same call on it resumes.
        model: ``demo``, a hub id, a folder or a ``.gguf`` file.
        settings: any other field of `SearchConfig`, such as ``limit``, ``preset``, ``ray``.

    Raises:
        SearchClusterError: settings, data, model, server or cluster are not as they must be.
        KeyboardInterrupt: what was found so far is on disk.
    """
    from search_cluster.commands.search import run_search

    _require_known(settings, SearchConfig)
    run_search(SearchConfig(task=task, run=Path(run), model=model, **settings))
    return open_corpus(run)


def scan(
    tasks: str | Sequence[str],
    *,
    run: str | Path,
    model: str = "demo",
    guards: Sequence[str] = (),
    **settings: Any,
) -> FinishedScan:
    """Find the best one path for a task, as ``search-cluster scan``.

    Args:
        tasks: names or files, one or several.
        run: the run folder; the same call on it resumes.
        model: ``demo``, a hub id, a folder or a ``.gguf`` file.
        guards: tasks on which losses are reported.
        settings: any other field of `ScanSettings` and `SearchConfig`, such as ``aim``, ``limit``,
            ``families``, ``ray``.

    Raises:
        SearchClusterError: settings, data, model, server or cluster are not as they must be.
        KeyboardInterrupt: what was answered so far is on disk.
    """
    from search_cluster.commands.scan.run import run_scan

    _require_known(settings, SearchConfig, ScanSettings)
    names = {item.name for item in fields(ScanSettings)}
    of_scan = {name: value for name, value in settings.items() if name in names}
    others = {name: value for name, value in settings.items() if name not in names}
    run_scan(
        SearchConfig(run=Path(run), model=model, **others),
        ScanSettings(**of_scan),
        tasks=[tasks] if isinstance(tasks, str) else list(tasks),
        guards=guards,
    )
    return open_scan(run)


def open_corpus(folder: str | Path) -> SearchedCorpus:
    """A finished corpus, of this machine or of the hub (``hub:org/name@revision``).

    Raises:
        CorpusError: it is unfinished, changed or damaged.
        HubError: there is none on the hub.
    """
    folder = local_folder(folder, FolderKind.CORPUS)
    return SearchedCorpus(folder=folder, corpus=read_corpus(folder))


def open_scan(folder: str | Path) -> FinishedScan:
    """A finished scan, of this machine or of the hub (``hub:org/name@revision``).

    Raises:
        CorpusError: it is unfinished or damaged.
        HubError: there is none on the hub.
    """
    folder = local_folder(folder, FolderKind.SCAN)
    return FinishedScan(folder=folder, result=read_result(folder))


def _dataset(*files: Path) -> "Dataset":
    """Files of Parquet in memory; datasets' own reader would copy them into the user's cache."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Dataset
    from datasets.table import InMemoryTable

    tables = [pq.read_table(file).replace_schema_metadata() for file in files]
    return Dataset(InMemoryTable(pa.concat_tables(tables)))


def _require_known(settings: dict[str, Any], *configs: type) -> None:
    known = sorted({item.name for config in configs for item in fields(config)})
    for name in settings:
        if name not in known:
            raise ConfigError(
                f"there is no setting {name!r}; settings are: {known_names(name, known)}"
            )
