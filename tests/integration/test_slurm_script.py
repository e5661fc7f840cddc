"""The batch script, run by stand-ins for Slurm's commands, with the real `ray symmetric-run`."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from support import tiny
from support.namespace import Namespace

from search_cluster.corpus.reader import read_corpus

pytestmark = [pytest.mark.ray, pytest.mark.server]

REPOSITORY = Path(__file__).parents[2]
SRUN = """#!/bin/sh
# One task on this node: everything up to the first word that is no flag of srun is srun's.
while [ "${1#--}" != "$1" ]; do case "$1" in --*=*) shift ;; *) shift 2 ;; esac; done
exec "$@"
"""
SCONTROL = """#!/bin/sh
[ "$1 $2 $3" = "show hostnames node[1-1]" ] && echo 127.0.0.1
"""


def test_a_batch_job_searches_with_a_cache_of_its_own(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the PATH")
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (stand_ins / name).write_text(text)
        (stand_ins / name).chmod(0o755)
    venv = tmp_path / "venv/bin"
    venv.mkdir(parents=True)
    (venv / "activate").write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
    tiny.save_tiny_model(tmp_path / "model", chat=True)
    run = tmp_path / "runs/a"
    environment = {
        "PATH": f"{stand_ins}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(REPOSITORY),
        "VENV": str(venv.parent),
        "RUN_CACHE": str(tmp_path / "cache"),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node[1-1]",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_CPUS_PER_TASK": "2",
    }
    with Namespace() as space:
        done = space.run(
            "bash", "deploy/slurm/search.sbatch", "--model", str(tmp_path / "model"), "--task",
            "capitals", "--limit", "4", "--budget", "4", "--workers", "1", "--run", str(run),
            environment=environment, cwd=REPOSITORY, timeout_s=250,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(
        next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{"))
    )
    assert read_corpus(run).manifest.corpus_digest == result["corpus_digest"]
    assert result["cache_errors"] == 0
    assert not (run / "cache").exists(), "the embedded server was used"
    stored = b"".join(path.read_bytes() for path in (tmp_path / "cache/appendonlydir").iterdir())
    assert b"lps:v:" in stored
    assert (tmp_path / "cache/users.acl").stat().st_mode & 0o077 == 0
