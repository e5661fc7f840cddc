"""A path written for another tool: what goes into its file, what to run, what to mind."""

from collections.abc import Iterable
from dataclasses import dataclass

from search_cluster.errors import ConfigError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.specs.gguf_path import gguf_path_command
from search_cluster.scan.specs.layers import write_layers
from search_cluster.scan.specs.mergekit import mergekit_command, write_mergekit
from search_cluster.scan.specs.prune_layers import prune_command
from search_cluster.scan.specs.queue_file import write_queue
from search_cluster.scan.specs.rys import write_rys
from search_cluster.scan.specs.traps import ModelFacts, SpecFormat, traps_of

QUEUE_SUFFIX = ".json"
"""A file so named takes a path of RYS as a queue."""
_GGUF_IN, _GGUF_OUT = "in.gguf", "out.gguf"
_WHOSE = {
    SpecFormat.MERGEKIT: "mergekit 0.1.5; the second number of a layer_range is the layer after "
    "the last",
    SpecFormat.GGUF_PATH: "layer_path.py of llm-circuit-finder; both ends of a range run",
    SpecFormat.PRUNE_LAYERS: "llama.cpp, release b5740 or newer; `copy` keeps the quantisation",
    SpecFormat.RYS: "RYS; a block i,j repeats layers i to j - 1",
    SpecFormat.LAYERS: "the layers in the order in which they run",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecTarget:
    """For which model a path is written, and where to."""

    model: str
    """The model's name or folder."""
    dtype: str
    """The dtype in which the path was searched."""
    facts: ModelFacts | None
    """What decides whether the path runs elsewhere as it does here; ``None`` if not at hand."""
    file: str | None = None
    """The file that the text goes to; ``None``: to the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSpec:
    """A path in another tool's notation."""

    text: str
    """What goes into a file, with the command and the traps in comments where there are any."""
    command: str
    """What to run; empty where the notation is all there is."""
    traps: tuple[str, ...]
    """What to mind."""


def write_spec(
    spec_format: SpecFormat, path: LayerPath, target: SpecTarget, *, said: Iterable[str] = ()
) -> WrittenSpec:
    """A path in another tool's notation, which `reading` reads back.

    Args:
        spec_format: the notation.
        path: the path.
        target: its model, and the file.
        said: lines about the path, for the comments.

    Raises:
        ConfigError: the notation can't say this path, or the tool can't read this model.
    """
    traps = traps_of(spec_format, path, target.facts)
    is_gguf = target.model.endswith(".gguf")
    gguf = target.model if is_gguf else _GGUF_IN
    if spec_format is SpecFormat.MERGEKIT:
        if is_gguf:
            raise ConfigError(
                f"mergekit reads no GGUF files, and the model is {target.model}; name the folder "
                "or hub id that it was made from with --model, or take --format gguf-path"
            )
        body = write_mergekit(path, model=target.model, dtype=target.dtype)
        command = mergekit_command(target.file or "path.yml")
    elif spec_format is SpecFormat.GGUF_PATH:
        body = command = gguf_path_command(path, source=gguf, out=_GGUF_OUT)
    elif spec_format is SpecFormat.PRUNE_LAYERS:
        body = command = prune_command(path, source=gguf, out=_GGUF_OUT)
    elif spec_format is SpecFormat.RYS:
        body = write_rys(path)
        command = f'python -m hf_export.export_model --source FOLDER --output OUT --spec "{body}"'
    else:
        body, command = write_layers(path), ""
    if spec_format is SpecFormat.RYS and (target.file or "").endswith(QUEUE_SUFFIX):
        return WrittenSpec(text=write_queue([path]), command="", traps=traps)
    lines = [*said, f"For {_WHOSE[spec_format]}."]
    if command and command != body:
        lines.append(f"Run: {command}")
    lines += [f"Mind: {trap}." for trap in traps]
    comments = "".join(f"# {line}\n" for line in lines)
    return WrittenSpec(text=f"{comments}{body.rstrip()}\n", command=command, traps=traps)
