"""Downloading a model from the hub: only what is loaded, never a pickle."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

from search_cluster.errors import ModelError, UnreachableHubError
from search_cluster.hub.troubles import hub_errors
from search_cluster.model.load.user_cache import one_at_a_time

WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.py"]
SETTINGS = ["*.json", "*.py"]
"""What says how large a model is; the weights are not among it."""
TEMPLATES_FOLDER = "additional_chat_templates"
"""The folder of named chat templates, which transformers reads, too."""
LICENCES = ["README.md", "LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*"]
"""What has to be handed on with a model that is exported."""
UNWANTED = [f"*/{name}" for name in (*WANTED, *LICENCES) if name != "*.jinja"] + ["consolidated*"]
"""The files that are not downloaded: sub-folders with other formats, and a second copy of the
weights that some repositories carry."""


def commit_of(hub_id: str, revision: str | None) -> str:
    """The commit that a revision of a hub model means now.

    A commit itself is not looked up. Where the hub can't be reached it is what the revision meant
    when it was last looked up on this machine.

    Args:
        hub_id: its id.
        revision: the branch, tag or commit; ``None``: the main branch.

    Raises:
        UnreachableHubError: offline, and it was never looked up.
        ModelError: unknown id or revision, or no access; the message says what to do.
    """
    with _hub_errors(hub_id, revision):
        return str(HfApi().resolve_revision(hub_id, revision=revision).resolved)


def download(
    hub_id: str, revision: str | None, *, check: Callable[[Path], None] | None = None
) -> Path:
    """The local folder of a hub model, of which what is missing is downloaded.

    It works offline once everything is there, and asks the hub nothing if the revision is a commit
    that is there. Of several processes of a machine one downloads, and the others wait.

    Args:
        hub_id: its id.
        revision: the branch, tag or commit; ``None``: the main branch.
        check: raises if the folder is not worth its weights; it is called with all but them there.

    Raises:
        ModelError: unknown id or revision, no access, or offline without a copy; the message says
            what to do.
    """

    def fetched(*patterns: str) -> Path:
        return Path(
            snapshot_download(
                hub_id,
                revision=revision,
                allow_patterns=list(patterns),
                ignore_patterns=UNWANTED,
            )
        )

    name = hub_id.replace("/", "--")
    with _hub_errors(hub_id, revision), one_at_a_time(f"downloads/{name}"):
        if check is not None:
            check(fetched(*SETTINGS))
        return fetched(*WANTED, *LICENCES)


def _hub_errors(hub_id: str, revision: str | None) -> AbstractContextManager[None]:
    """Turns what the hub's library raises into one clear error."""
    return hub_errors(
        f"model {hub_id!r}",
        revision,
        invalid="is neither a folder nor a hub id; give OWNER/NAME, a folder, a .gguf file or "
        "'demo'",
        error=ModelError,
        unreachable=UnreachableHubError,
    )
