"""What the hub's library raises, as one clear line."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from httpx2 import HTTPError  # what the hub's library speaks with, and raises where nobody answers
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)

from search_cluster.errors import HubError, SearchClusterError

NO_ROOM = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT})
"""What the operating system says of a folder that takes no files."""
UNANSWERED = (HTTPError, OfflineModeIsEnabled)
"""What is raised if the hub can't be reached, or answers that it will not; its own errors are
among them."""


@contextmanager
def hub_errors(
    what: str,
    revision: str | None,
    *,
    invalid: str,
    error: type[SearchClusterError] = HubError,
    unreachable: type[SearchClusterError] = HubError,
) -> Iterator[None]:
    """Turn what the hub's library raises while something is read into one clear error.

    Args:
        what: what is read, with its name, such as "model 'org/name'".
        revision: the revision that is asked for.
        invalid: what is wrong with a name that is none, and what to do.
        error: the class of all errors but one.
        unreachable: the class of the error for a hub that can't be reached.
    """
    try:
        yield
    except HFValidationError as cause:
        raise error(f"{what} {invalid}") from cause
    except GatedRepoError as cause:
        raise error(
            f"{what} is gated; accept its terms on the hub, then run: hf auth login"
        ) from cause
    except RevisionNotFoundError as cause:
        raise error(
            f"{what} has no revision {revision!r}; look its revisions up on the hub"
        ) from cause
    except RepositoryNotFoundError as cause:
        raise error(
            f"{what} is not on the hub, or is private; check the spelling, or run: hf auth login"
        ) from cause
    except (LocalEntryNotFoundError, RevisionResolutionError, *UNANSWERED) as cause:
        raise unreachable(
            f"{what} is not in the local hub cache and the hub can't be reached; connect, set "
            "HF_ENDPOINT to a mirror, or give a local folder"
        ) from cause
    except OSError as cause:
        if cause.errno not in NO_ROOM:
            raise
        raise error(
            f"{what} can't be kept in the hub cache {constants.HF_HUB_CACHE} ({cause.strerror}); "
            "set HF_HOME to a folder that you may write to and that has room"
        ) from cause
