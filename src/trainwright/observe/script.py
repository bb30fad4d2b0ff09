"""Run a script or a module in this process as `python` itself would; inside, all looks as it does there.

What a script could still notice: our modules in `sys.modules`, our frames below its own when it walks the
stack, and what `children.py` puts into the environment.
"""

from __future__ import annotations

import atexit
import importlib.util
import io
import os
import runpy
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib.machinery import PathFinder, SourceFileLoader
from types import ModuleType
from typing import NamedTuple

from .frames import strip_
from .stop import StopCheck


class End(NamedTuple):
    """How a script ended."""

    status: int
    """Its exit status; 130 for Ctrl-C, as a shell has it."""
    exception: BaseException | None = None
    """What nobody caught, already shown to the user as python shows it."""
    stopped: bool = False
    """`check` had seen enough."""

    @property
    def interrupted(self) -> bool:
        """Python would now die by SIGINT."""
        return type(self.exception) is KeyboardInterrupt


def refusal(script: str | None, module: str | None) -> str | None:
    """Why there is nothing to run, in one sentence; `None` where there is."""
    if module is not None:
        top = module.partition(".")[0]
        # Only its top package: looking further imports it, and that is for the run itself to do.
        here = [os.getcwd()]
        if top and (top in sys.modules or importlib.util.find_spec(top) or PathFinder.find_spec(top, here)):
            return None
        return f"there is no module `{module}` to run with -m; the search began in {here[0]}."
    assert script is not None
    if os.path.isdir(script):
        return f"`{script}` is a folder; name the script in it, or run a package with `-m`."
    folder, name = os.path.split(script)
    try:
        with io.open_code(os.path.abspath(script)):
            return None
    except FileNotFoundError:
        near = get_close_matches(name, os.listdir(folder or ".") if os.path.isdir(folder or ".") else [], 1)
        hint = f" Did you mean `{os.path.join(folder, near[0])}`?" if near else ""
        return f"there is no file `{script}` in {os.getcwd()}.{hint}"
    except OSError as error:
        return f"cannot read `{script}`: {error.strerror}."


def run_script(path: str, args: Sequence[str]) -> End:
    """Do what `python path *args` does, up to the end of the last line."""
    full = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)  # not normalised: nor does python
    main = _fresh_main()
    main.__dict__.update(__file__=full, __cached__=None, __loader__=SourceFileLoader("__main__", full))
    _set_arguments([path, *args], [path, *args])
    _set_first_on_path(os.path.dirname(os.path.realpath(full)))

    def execute() -> None:
        with io.open_code(full) as file:
            code = compile(file.read(), full, "exec", dont_inherit=True)
        exec(code, main.__dict__)

    return _run(execute, below=3 if sys.version_info < (3, 12) else 2)


def run_module(name: str, args: Sequence[str]) -> End:
    """Do what `python -m name *args` does, up to the end of the last line."""
    _fresh_main()
    _set_arguments(["-m", *args], ["-m", name, *args])
    _set_first_on_path(os.getcwd())
    # What the interpreter itself calls for -m, and what tracebacks of such programs begin with.
    as_main: Callable[[str], object] = runpy._run_module_as_main  # type: ignore[attr-defined]
    return _run(lambda: as_main(name))


def wait_for_threads() -> None:
    """Wait for the script's threads, as the interpreter does on its way out before anything else."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # joins, and tells executors to end; twice does no harm
    except BaseException as error:
        strip_(error)
        print(f"Exception ignored in: {threading!r}", file=sys.stderr)
        traceback.print_exception(error)


def run_exit_handlers() -> None:
    """Run what the script registered with `atexit`, so that its last words come before ours."""
    atexit._run_exitfuncs()


def leave() -> None:
    """Take the script's modules off our way: what we import from here on is ours again."""
    if _folder in sys.path:
        sys.path.remove(_folder)
    sys.modules.update(_hidden)


_folder = ""
_hidden: dict[str, ModuleType] = {}
"""Modules we have imported that a file beside the script has the name of."""


def _fresh_main() -> ModuleType:
    """An empty `__main__` in the place of ours: pickle and spawned processes look there for its classes."""
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=sys.modules["builtins"])
    if sys.version_info < (3, 14):
        main.__dict__.update(__annotations__={})
    sys.modules["__main__"] = main
    return main


def _set_arguments(argv: list[str], after_python: list[str]) -> None:
    """Replace our own command line by the script's."""
    given = len(sys.argv) - 1
    python = sys.orig_argv[: len(sys.orig_argv) - given]  # ends with `-m trainwright` or `bin/trainwright`
    python = python[:-2] if python[-2:-1] in (["-m"], ["-c"]) else python[:-1]
    sys.orig_argv[:] = [*(python or [sys.executable]), *after_python]
    sys.argv[:] = argv


def _set_first_on_path(folder: str) -> None:
    """Put the script's own folder in the place of ours; its modules win over namesakes we have imported."""
    if sys.flags.safe_path:  # python -P: then neither has a place
        return
    global _folder
    sys.path[0] = _folder = folder
    for name in sys.stdlib_module_names & sys.modules.keys() - {"__main__", "encodings"}:
        spec = getattr(sys.modules[name], "__spec__", None)
        shadowed = any(os.path.exists(os.path.join(folder, name + end)) for end in (".py", "/__init__.py"))
        if shadowed and spec is not None and spec.has_location:
            _hidden[name] = sys.modules.pop(name)


def _run(execute: Callable[[], object], below: int = 2) -> End:
    # The script gets as many frames as it would have; `below` of ours come after this function's caller.
    sys.setrecursionlimit(sys.getrecursionlimit() + _depth() + below)
    try:
        execute()
        return End(0)
    except StopCheck:
        return End(0, stopped=True)
    except BaseException as caught:
        error = caught
    # Outside of `except`: the hook must not see an exception being handled, nor get it as a context.
    strip_(error)
    return End(_status(error)) if isinstance(error, SystemExit) else _show(error)


def _depth() -> int:
    """Frames below the caller's; before 3.12, `exec` itself counts as one, as in `python -m trainwright`."""
    frame, depth = sys._getframe(1).f_back, 0
    while frame is not None:
        by_exec = sys.version_info < (3, 12) and frame.f_code is runpy._run_code.__code__  # type: ignore[attr-defined]
        frame, depth = frame.f_back, depth + (2 if by_exec else 1)
    return depth


def _status(wish: SystemExit) -> int:
    """The exit status that `sys.exit(...)` asks for; a message goes to stderr and counts as 1."""
    if wish.code is None or isinstance(wish.code, int):
        return wish.code or 0
    print(wish.code, file=sys.stderr)
    return 1


def _show(error: BaseException) -> End:
    """Show an uncaught exception as the interpreter does, by the script's own hook where it has one."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    end = End(130 if type(error) is KeyboardInterrupt else 1, error)
    try:
        sys.excepthook(type(error), error, error.__traceback__)
        return end
    except SystemExit as wish:
        return End(_status(wish), error)
    except BaseException as caught:
        broken = caught
    strip_(broken)
    print("Error in sys.excepthook:", file=sys.stderr)
    sys.__excepthook__(type(broken), broken, broken.__traceback__)
    print("\nOriginal exception was:", file=sys.stderr)
    sys.__excepthook__(type(error), error, error.__traceback__)
    return end
