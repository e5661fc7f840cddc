"""A path as a passthrough merge of mergekit: a slice for each run of consecutive layers."""

from typing import Any

import yaml  # type: ignore[import-untyped]

from search_cluster.errors import InvalidPathError
from search_cluster.paths.layer_path import LayerPath

METHOD = "passthrough"
_CHANGES_WEIGHTS = "parameters"


def write_mergekit(path: LayerPath, *, model: str, dtype: str) -> str:
    """The YAML of a merge; the second number of a ``layer_range`` is the layer after the last."""
    slices = [
        {"sources": [{"model": model, "layer_range": [first, last + 1]}]}
        for first, last in path.runs()
    ]
    merge = {"merge_method": METHOD, "dtype": dtype, "slices": slices}
    text: str = yaml.safe_dump(
        merge, sort_keys=False, default_flow_style=None, allow_unicode=True, width=1_000_000
    )
    return text


def mergekit_command(file: str, out: str = "OUT") -> str:
    """The command that merges.

    It copies the tokenizer, and repeated layers, which share memory and can't be saved so.
    """
    return f"mergekit-yaml {file} {out} --copy-tokenizer --clone-tensors"


def read_mergekit(text: str, num_layers: int) -> LayerPath:
    """The path of a passthrough merge of one model's layers.

    Raises:
        InvalidPathError: it is no YAML, or another kind of merge.
    """
    try:
        merge = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise InvalidPathError(
            f"{place}no YAML ({getattr(error, 'problem', None) or error}); a merge has slices"
        ) from error
    slices = merge.get("slices") if isinstance(merge, dict) else None
    if not isinstance(slices, list) or not slices:
        raise InvalidPathError("it has no slices; a merge is a mapping with a list of them")
    if merge.get("merge_method") != METHOD or _CHANGES_WEIGHTS in merge:
        raise InvalidPathError(
            f"merge_method {merge.get('merge_method')!r}"
            f"{' with parameters' if _CHANGES_WEIGHTS in merge else ''} changes weights; a path is "
            f"a {METHOD} merge without parameters"
        )
    layers: list[int] = []
    models = set()
    for number, item in enumerate(slices):
        model, (first, end) = _source(item, number)
        models.add(model)
        if not 0 <= first < end <= num_layers:
            raise InvalidPathError(
                f"slice {number} has layer_range [{first}, {end}]; the second number is the layer "
                f"after the last, and the model has layers 0..{num_layers - 1}"
            )
        layers += range(first, end)
    if len(models) > 1:
        raise InvalidPathError(
            f"it merges {len(models)} models ({', '.join(sorted(models))}); a path has one model's"
        )
    return LayerPath(tuple(layers), num_layers)


def _source(item: Any, number: int) -> tuple[str, tuple[int, int]]:
    """The model and the range of layers of a slice."""
    sources = item.get("sources") if isinstance(item, dict) else None
    source = sources[0] if isinstance(sources, list) and len(sources) == 1 else None
    if not isinstance(source, dict) or set(item) != {"sources"} or _CHANGES_WEIGHTS in source:
        raise InvalidPathError(
            f"slice {number} is no plain slice; it has one source, with model and layer_range, and "
            "no parameters"
        )
    bounds = source.get("layer_range")
    if not isinstance(bounds, list) or len(bounds) != 2 or any(type(x) is not int for x in bounds):
        raise InvalidPathError(
            f"slice {number} has layer_range {bounds!r}; it is two layers, as [0, 18]"
        )
    return str(source.get("model")), (bounds[0], bounds[1])
