"""A layer path as a folder for others: an ordinary checkpoint with all that goes with it."""

from pathlib import Path

from search_cluster.model.loaded import LoadedModel
from search_cluster.model.path_checkpoint import path_checkpoint
from search_cluster.model.portable.base import CardBase, copy_licence
from search_cluster.model.portable.checkpoint import WrittenCheckpoint, write_checkpoint
from search_cluster.paths.layer_path import LayerPath


def write_path(
    folder: Path, loaded: LoadedModel, path: LayerPath, base: CardBase
) -> WrittenCheckpoint:
    """Write weights, settings, tokenizer and the texts of the licence; the card is the caller's.

    Raises:
        ModelError: the family's configuration can't express the path, or what is read back is not
            what was to be written.
    """
    written = write_checkpoint(path_checkpoint(loaded.model, path), loaded.tokenizer, folder)
    copy_licence(folder, base)
    return written
