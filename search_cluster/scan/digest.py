"""The digest of a scan: equal for equal verdicts and an equal choice.

The workers, the cache and the order in which answers came play no part in it. As in a corpus'
digest, margins (arithmetic noise) and the messages of failures are left out.
"""

import hashlib
import json
import struct
from collections.abc import Sequence
from typing import Any

from search_cluster.files import storable_text
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.scan.table import ScanTable

SCAN_DIGEST_SCHEMA = 1
"""Changes whenever the canonical form changes."""


def scan_digest(
    table: ScanTable,
    finalists: Sequence[LayerPath],
    chosen: LayerPath,
    *,
    depth_prior: str = "",
) -> str:
    """64 hexadecimal digits.

    Args:
        table: every pair that the scan asked for, and no other.
        finalists: in their order.
        chosen: the path that is reported.
        depth_prior: the digest of what was known of layers beforehand; empty if nothing.
    """
    digest = hashlib.sha256(f"scan {SCAN_DIGEST_SCHEMA}\n".encode())
    if depth_prior:
        digest.update(f"depth prior {depth_prior}\n".encode())
    for row in table.in_order():
        content: list[Any] = [row.split, row.task, row.example_id, str(row.path)]
        if isinstance(row.outcome, Failure):
            content.append(row.outcome.kind)
        else:
            content += [
                struct.pack(">f", row.outcome.reward).hex(),
                storable_text(row.outcome.output),
                row.outcome.num_layer_tokens,
            ]
        digest.update(f"{json.dumps(content, ensure_ascii=False)}\n".encode())
    digest.update(json.dumps([[str(path) for path in finalists], str(chosen)]).encode())
    return digest.hexdigest()
