"""Downloading a model from the hub: only what is loaded, never a pickle."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)

from search_cluster.errors import ModelError, UnreachableHubError
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


@contextmanager
def _hub_errors(hub_id: str, revision: str | None) -> Iterator[None]:
    """Turns what the hub's library raises into one clear error."""
    try:
        yield
    except HFValidationError as error:
        raise ModelError(
            f"model {hub_id!r} is neither a folder nor a hub id; give OWNER/NAME, a folder, a "
            ".gguf file or 'demo'"
        ) from error
    except GatedRepoError as error:
        raise ModelError(
            f"model {hub_id!r} is gated; accept its terms on the hub, then run: hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"model {hub_id!r} has no revision {revision!r}; look its revisions up on the hub"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"model {hub_id!r} is not on the hub, or is private; check the spelling, or run: hf "
            "auth login"
        ) from error
    except (LocalEntryNotFoundError, RevisionResolutionError, HfHubHTTPError) as error:
        raise UnreachableHubError(
            f"model {hub_id!r} is not in the local hub cache and the hub can't be reached; "
            "connect, set HF_ENDPOINT to a mirror, or give a local folder"
        ) from error
