"""Keeps torch.compile off our own frames.

Within a function that is being run by dynamo, each frame that is called is compiled too, unless it is marked.
Ours would become graphs, and the graphs of the script would break where ours do. Importing `torch._dynamo`
for its `disable` takes a second; what that stands on is there without.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, cast

import torch

_dynamo: Any = cast(Any, torch)._C._dynamo.eval_frame

callback: Callable[[object], object] = _dynamo.set_eval_frame
"""Sets what dynamo does with each frame of this thread (`None`: nothing), and returns what it did before."""


def skip(*functions: Callable[..., Any]) -> None:
    """Have the frames of these functions, and of those defined in them, run as they are."""
    for function in functions:
        if isinstance(function, FunctionType):
            _skip(function.__code__)


def _skip(code: CodeType) -> None:
    if hasattr(_dynamo, "set_code_exec_strategy"):
        action = _dynamo._FrameAction
        _dynamo.set_code_exec_strategy(code, _dynamo._FrameExecStrategy(action.SKIP, action.DEFAULT))
    else:  # torch 2.6
        _dynamo.skip_code(code)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            _skip(inner)
