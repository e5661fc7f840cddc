"""Which errors of a request may be its worker's own trouble: another worker may have none of it.

A card that somebody else fills, a full disk, a machine without memory or processes left: whatever
is asked there fails, and fast.
"""

import errno

from search_cluster.errors import with_causes
from search_cluster.model.device_health import is_lack_of_memory

ERRNOS = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)
)
"""Of disks, memory, processes and files that have run out."""
LACK_OF_THREADS = "can't start new thread"
"""What Python says of the same."""


def is_own_trouble(error: object) -> bool:
    """Whether an error, or one that led to it, may be the worker's and not the request's."""
    return isinstance(error, BaseException) and any(map(_says_so, with_causes(error)))


def _says_so(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in ERRNOS:
        return True
    return is_lack_of_memory(error) or LACK_OF_THREADS in str(error)
