"""What only a GPU can show: the same search on CUDA is made and verified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tiny_world import Lamdagent

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_search_runs_on_cuda_and_what_it_keeps_is_whole(study: Path, lamdagent: Lamdagent, dtype: str) -> None:
    done = lamdagent("run", study, "--json", "--execution.device", "cuda", "--execution.dtype", dtype)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["trials"]) == 3
    assert lamdagent("verify", study).returncode == 0
