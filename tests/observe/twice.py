"""Train twice, unwatched and watched, and compare by the bit."""

import copy
import hashlib
import linecache
import os
import pickle
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

import trainwright as tw
from trainwright.core import Run, Site

ALWAYS = 1e9
"""A budget that lets every step be read: the most that watching can do to a run."""

Trained = nn.Module | Tensor | Iterable["Trained"]


def twice(train: Callable[[], Trained], *, overhead: float = ALWAYS) -> Run:
    """What was recorded of `train`, after seeing to it that nothing was changed by being watched.

    Args:
        train: returns what it trained: modules, tensors, or a collection of such.
        overhead: the budget.
    """
    before = _ended(train)
    patched = _patched()  # by now: torch.compile, too, patches torch when it is first used
    with tw.watch(overhead=overhead) as watch:
        after = _ended(train)
    assert after == before, "the watched run ended in other weights or another random state"
    assert _patched() == patched, "something of ours was left in torch"
    run = watch.run()
    assert run.facts["own_failures"] == []
    return run


def side_by_side(
    script: Sequence[str | Path], folder: Path, *, launcher: Sequence[str] = (), lines: int = 1
) -> None:
    """Run a script unwatched and watched at once, and see to it that both end in the same bits.

    Args:
        script: it and its arguments; it prints lines "ended ..." with check sums of what it ended in.
        folder: of the record.
        launcher: what comes between python and the script, as a torchrun does.
        lines: how many such lines there are: one of each process.
    """
    source = str(Path(tw.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    watch = ["-m", "trainwright", "run", "--folder", str(folder), "--overhead", "99%"]
    started = [
        subprocess.Popen(
            [sys.executable, *launcher, *ours, *map(str, script)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for ours in ([], watch)
    ]
    said = [process.communicate(timeout=110) for process in started]
    for process, (_, err) in zip(started, said, strict=True):
        assert process.returncode == 0, err
    bare, watched = (sorted(re.findall(r"^ended .*$", out, re.MULTILINE)) for out, _ in said)
    assert len(bare) == lines, bare
    assert watched == bare


def text(site: Site | None) -> str:
    """The line at a site; it must be one of the tests'."""
    assert site is not None
    assert Path(site["file"]).parent.name in ("observe", "loops"), site
    return linecache.getline(site["file"], site["line"]).strip()


def bits(trained: Trained) -> bytes:
    """Every bit of every tensor, names and order included."""
    if isinstance(trained, nn.Module):
        return bits(t for _, t in sorted(trained.state_dict().items()))
    if isinstance(trained, Tensor):
        local = getattr(trained.detach(), "_local_tensor", trained.detach())
        return hashlib.sha256(local.contiguous().view(-1).view(torch.uint8).numpy().tobytes()).digest()
    return b"".join(bits(t) for t in trained)


def _ended(train: Callable[[], Trained]) -> tuple[bytes, bytes]:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    trained = train()
    state = random.getstate(), np.random.get_state(), torch.get_rng_state().numpy().tobytes()
    return bits(copy.copy(trained)), pickle.dumps(state)


def _patched() -> list[object]:
    """What is in the places in which we put ours while we watch."""
    module = torch.nn.modules.module
    return [
        nn.Module.__init__,
        nn.Module.__dict__.get("zero_grad"),
        torch.optim.Optimizer.__init__,
        torch.autograd.backward,
        nn.functional.cross_entropy,
        torch.utils.data.DataLoader.__iter__,
        torch.amp.GradScaler.step,
        nn.utils.clip_grad_norm_,
        torch.compile,
        dict(module._global_forward_hooks),
        dict(module._global_forward_pre_hooks),
        dict(module._global_backward_hooks),
        dict(_global_optimizer_pre_hooks),
        dict(_global_optimizer_post_hooks),
    ]
