"""Watch a training in a loop or notebook of one's own: `with tw.watch() as watch: ...`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from .core import Finding, Rule, Run
from .observe import frames, watching

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


class Watch:
    """A training being watched; afterwards, its record. In a notebook it shows as its report."""

    def __init__(
        self,
        models: Sequence[nn.Module] = (),
        optimizers: Sequence[Optimizer] | None = None,
        *,
        overhead: float = 0.02,
        folder: Path | None = None,
    ):
        self._models, self._optimizers = models, optimizers
        self._overhead, self._folder = overhead, folder
        self._session: watching.Session | None = None

    def __enter__(self) -> Watch:
        import torch  # noqa: F401  # whoever watches a loop has it; the session then attaches at once

        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        self._session = watching.Session(
            self._folder,
            overhead=self._overhead,
            stop_after=None,
            eager_probe=False,
            say=watching.say_on_stderr,
        )
        self._session.attach(self._models, self._optimizers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._session is not None
        self._session.finish(None, error)
        if error is not None:
            frames.strip_(error)

    def run(self) -> Run:
        """Everything recorded so far."""
        if self._session is None:
            raise RuntimeError("Nothing was watched yet: train inside `with tw.watch() as watch:` first.")
        return self._session.so_far()

    def findings(
        self,
        which: Sequence[Rule] | None = None,
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
    ) -> tuple[Finding, ...]:
        """What is wrong, worst first.

        Args:
            which: the rules to ask; all if not given.
            thresholds: by rule and name, in place of the defaults: `{"dead-units": {"share": 0.5}}`.
        """
        from . import rules  # not before they are wanted: rules and report are some 8 MB

        return rules.diagnose(self.run(), rules.ALL if which is None else tuple(which), thresholds or {})

    def report(self, path: Path | str) -> Path:
        """Write the report as one HTML file, and return its path."""
        path = Path(path)
        path.write_text(self._html(), encoding="utf-8")
        return path

    def _html(self) -> str:
        from . import report, rules

        run = self.run()
        return report.html(run, rules.diagnose(run), rules.ALL)

    def _repr_html_(self) -> str:
        # In a frame, so that the report's style is not the notebook's.
        page = escape(self._html(), quote=True)
        style = "width: 100%; height: 80vh; min-height: 480px; border: 0"
        return f'<iframe title="trainwright report" srcdoc="{page}" style="{style}"></iframe>'


def watch(
    model: nn.Module | Sequence[nn.Module] | None = None,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    *,
    overhead: float = 0.02,
    folder: Path | str | None = None,
) -> Watch:
    """Watch whatever trains inside the `with` block; nothing in it changes, not a bit of its result.

    Models and optimisers are found by themselves, those built before the block too.

    Args:
        model: what to watch, if not everything that an optimiser trains.
        optimizer: its optimiser or optimisers, if built before the block and not to be searched for.
        overhead: the share of the training's time that watching may take.
        folder: where to keep the record; in memory if not given.

    >>> import torch, trainwright as tw
    >>> net, x = torch.nn.Linear(4, 1), torch.randn(8, 4)
    >>> with tw.watch() as watch:
    ...     sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    ...     net(x).mean().backward()
    ...     sgd.step()
    >>> watch.run().steps
    1
    """
    models = () if model is None else tuple(model) if isinstance(model, Sequence) else (model,)
    optimizers = (
        None if optimizer is None else tuple(optimizer) if isinstance(optimizer, Sequence) else (optimizer,)
    )
    return Watch(models, optimizers, overhead=overhead, folder=None if folder is None else Path(folder))
