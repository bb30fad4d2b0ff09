"""Runs at the start of every python that a watched script starts: waits for torch, then has it watched.

Python imports the first `sitecustomize` on its path, so this steps aside: it takes its folder off the path
and runs the one that would be found without it. `trainwright` is imported only when torch is.
"""

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType

HERE = os.path.dirname(os.path.abspath(__file__))


class OnceTorchIsImported:
    """First in `sys.meta_path`: finds nothing itself, but calls `attach` when torch has been imported."""

    waits_for_torch = True  # by this it is known, as nobody can import this file

    def __init__(self, told: str) -> None:
        self.told = told

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Pass on what the others find; torch's loader then calls us once."""
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = next(filter(None, (f.find_spec(name, path, target) for f in list(sys.meta_path))), None)  # type: ignore[arg-type]
        loader = spec.loader if spec else None
        if loader is None:
            return None
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module")
            execute(module)
            attach(self.told)

        vars(loader)["exec_module"] = exec_module  # on this one loader, which stays what it is
        return spec


def attach(told: str) -> None:
    """Watch this process; where that fails, it is said on stderr and the script goes on."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
    sys.path.append(root)  # for a child that would not find `trainwright` by itself, as from a checkout
    try:
        from trainwright.observe import children

        children.attach(told)
    except Exception as error:
        if sys.stderr is not None:
            sys.stderr.write(f"trainwright: process {os.getpid()} is not watched: {error!r}\n")
    finally:
        sys.path.remove(root)


def hand_over() -> None:
    """Run the `sitecustomize` that python would have found, or fail as where there is none: in silence."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != HERE]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        raise ImportError("No module named 'sitecustomize'", name="sitecustomize")
    sys.modules["sitecustomize"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)


told = os.environ.get("TRAINWRIGHT_RUN")
if told:
    sys.meta_path.insert(0, OnceTorchIsImported(told))
hand_over()
