"""Which path of a scan is given away."""

from search_cluster.errors import ConfigError
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.result import ScanResult
from search_cluster.scan.specs.reading import read_named


def path_to_export(result: ScanResult, *, named: str | None, best: bool, folder: str) -> LayerPath:
    """The path that was asked for: the scan's choice, or another one if the user says so.

    Args:
        result: what the scan found.
        named: a path in any notation, the scan's own names first; ``None``: that of the scan.
        best: whether the first finalist will do where the scan is not sure.
        folder: the scan's folder, for the message.

    Raises:
        ConfigError: the scan is not sure of any path, and the user named none.
        InvalidPathError: the path is none of this model.
    """
    if named is not None and best:
        raise ConfigError("--path and --best name two paths; leave one of them out")
    if named is not None:
        is_own = named in {item.path for item in result.candidates}
        return (parse_path if is_own else read_named)(named, result.num_layers)
    if result.sure:
        return parse_path(result.chosen, result.num_layers)
    first = next((item.summary.path for item in result.finalists), None)
    if best and first is not None:
        return parse_path(first, result.num_layers)
    offer = f"take its best with --best ({first}), or name" if first is not None else "name"
    raise ConfigError(
        f"the scan in {folder} is not sure that any of its {result.num_candidates} paths is better "
        f"than the plain model; {offer} one with --path"
    )
