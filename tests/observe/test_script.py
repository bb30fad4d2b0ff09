"""A script cannot tell whether python runs it or we do: tricky ones, run both ways, compared by the byte."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import trainwright
from trainwright.launch import UNTRAINED

# Both ways get the same path to trainwright, so that `sys.path` can be compared.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(trainwright.__file__).parents[1])}
SILENT = {"exit_hard", "terminated", "again", "no_stderr"}
"""Scripts after which we cannot speak: the process was ended or replaced, or there is no stderr."""

SURROUNDINGS = """
import os, signal, sys, threading
print(sorted(globals()), __name__, __file__, __package__, __doc__, type(__loader__).__name__)
print(__spec__ and (__spec__.name, __spec__.origin, __spec__.parent, __spec__.cached))
print(sys.argv, sys.orig_argv[1:], sys.path[0], len(sys.path), os.getcwd())
print(sys.modules["__main__"].__dict__ is globals(), [t.name for t in threading.enumerate()])
print(signal.getsignal(signal.SIGINT), sys.excepthook, sys.displayhook, sys.unraisablehook)
print(sys.stdin, sys.stdout, sys.stderr, sys.gettrace(), sys.getprofile(), sys.exc_info())
"""
CHAIN = """
def inner():
    try:
        {}["a"]
    except KeyError as e:
        raise ValueError("no a") from e
try:
    inner()
except ValueError:
    raise RuntimeError("both", "shown")
"""
GROUP = """
def fail(n):
    try: 1 / 0
    except ZeroDivisionError as e: return ValueError(n)
raise ExceptionGroup("several", [fail(1), ExceptionGroup("more", [TypeError("x")])])
"""
HOOK = """
import sys
def hook(kind, value, tb):
    seen = kind, value, tb.tb_lineno, tb.tb_next, sys.exc_info(), sys.last_value is value
    print("hook", *seen, file=sys.stderr)
sys.excepthook = hook
raise ValueError("seen by the hook")
"""
BROKEN_HOOK = """
import sys
def hook(kind, value, tb): raise TypeError("hook is broken")
sys.excepthook = hook
raise ValueError("first")
"""
EXITING_HOOK = """
import sys
sys.excepthook = lambda *_: sys.exit(7)
raise ValueError("never shown")
"""
LATE = """
import atexit, sys
print("no newline", end="")
class Fail:
    def __call__(self): raise ValueError("in a handler")
    def __repr__(self): return "Fail()"
atexit.register(print, "last words")
atexit.register(Fail())
atexit.register(print, "to stderr", file=sys.stderr)
class Loud:
    def __init__(self, name): self.name = name
    def __del__(self): print("gone", self.name)
kept, cycle = Loud("kept"), Loud("cycle")
cycle.self = cycle
def uses(): return kept
"""
THREADS = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(1)
pool.submit(lambda: (time.sleep(0.1), print("from the pool")))
def work():
    time.sleep(0.2)
    print("from a thread", threading.main_thread().is_alive())
    sys.exit(4)
threading.Thread(target=work).start()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("main ends")
"""
PICKLES = """
import multiprocessing as mp, os, pickle, sys
class Point:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return self.x == other.x
def double(p): return Point(2 * p.x)
if __name__ == "__main__":
    assert pickle.loads(pickle.dumps(Point(3))) == Point(3)
    for how in ("fork", "spawn"):
        with mp.get_context(how).Pool(1) as pool:
            print(how, [p.x for p in pool.map(double, [Point(1), Point(2)])])
else:
    print(__name__, __file__, sys.argv, flush=True)
"""
FORK = """
import os, sys
pid = os.fork()
if pid:
    print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    sys.exit(2)
print("in the child", flush=True)
sys.exit(5)
"""
WARNS = """
import sys, warnings
def old(): warnings.warn("old is old", DeprecationWarning, stacklevel=2)
old()
warnings.warn("here")
"""
CATCHES = """
import traceback
try:
    raise KeyError("mine")
except KeyError:
    traceback.print_exc()
import inspect
def shown(): pass
print(inspect.getsource(shown), inspect.getsourcefile(shown))
"""
DEEP = """
def fall(n): return fall(n + 1)
def depth(n):
    try: return depth(n + 1)
    except RecursionError: return n
print(depth(0))
fall(0)
"""
STREAMS = """
import sys
sys.stdout.buffer.write(b"\\xff\\x00 bytes\\n"); sys.stdout.flush()
print(sys.stdin.read())
class Tee:
    def __init__(self, stream): self.stream = stream
    def write(self, text): return self.stream.write(text.upper())
    def flush(self): self.stream.flush()
sys.stdout = Tee(sys.stdout)
print("in capitals")
sys.stderr = Tee(sys.stderr)
raise ValueError("in capitals")
"""
ASYNC = """
import asyncio, signal
async def main():
    signal.signal(signal.SIGINT, lambda *_: print("caught", _[0]))
    await asyncio.sleep(0.01)
    signal.raise_signal(signal.SIGINT)
    return "done"
print(asyncio.run(main()))
"""
AGAIN = """
import os, sys
if len(sys.argv) < 2:
    os.execv(sys.executable, [*sys.orig_argv, "again"])
print("second life", sys.argv, __name__)
"""

SCRIPTS = {
    "surroundings": SURROUNDINGS,
    "nothing": "",
    "exit_number": "import sys; sys.exit(3)",
    "exit_text": "import sys; print('out'); sys.exit('text on stderr')",
    "exit_none": "import sys; sys.exit()",
    "exit_bool": "raise SystemExit(True)",
    "exit_negative": "raise SystemExit(-1)",
    "exit_large": "raise SystemExit(300)",
    "exit_tuple": "raise SystemExit(1, 'two')",
    "exit_hard": "import os; print('out', flush=True); os._exit(5)",
    "exception": "def f(): raise ValueError('näh')\nf()",
    "exception_chain": CHAIN,
    "exception_group": GROUP,
    "exception_in_thread": "import threading as t\nt.Thread(target=lambda: 1 / 0).start()",
    "syntax_error": "x = (1,\ndef f(: pass",
    "import_error": "import no_such_module_anywhere",
    "broken_import": "import broken",
    "generator_exit": "raise GeneratorExit('odd')",
    "hook": HOOK,
    "hook_broken": BROKEN_HOOK,
    "hook_exits": EXITING_HOOK,
    "interrupt_raised": "import atexit\natexit.register(print, 'bye')\nraise KeyboardInterrupt",
    "interrupt_signal": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT); time.sleep(5)",
    "interrupt_caught": "try: raise KeyboardInterrupt\nexcept KeyboardInterrupt: print('saved')",
    "terminated": "import os\nprint('x', flush=True)\nos.kill(os.getpid(), 15)",
    "late": LATE,
    "threads": THREADS,
    "pickles": PICKLES,
    "fork": FORK,
    "warns": WARNS,
    "catches": CATCHES,
    "deep": DEEP,
    "streams": STREAMS,
    "no_stderr": "import sys; sys.stderr.close(); sys.stderr = None; raise ValueError",
    "asyncio": ASYNC,
    "again": AGAIN,
    "helper": "import helper; print(helper.__file__, helper.answer)",
    "shadows": "import argparse, statistics; print(argparse.mine, statistics.mine)",
    "changes_folder": "import os; os.chdir('/'); print(__file__); import helper; print(helper.answer)",
}
BESIDE = {
    "helper.py": "answer = 42",
    "broken.py": "import sys\n1 / 0",
    "argparse.py": "mine = 'not the library'",
    "statistics.py": "mine = 'not the library either'",
    "package/__init__.py": "print('package', __name__)",
    "package/__main__.py": SURROUNDINGS,
    "package/train.py": SURROUNDINGS + "\nfrom . import other",
    "package/other.py": "raise ValueError('from other')",
    "package/pickles.py": PICKLES,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("scripts")
    for name, text in ({f"{name}.py": text for name, text in SCRIPTS.items()} | BESIDE).items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(textwrap.dedent(text), encoding="utf-8")
    (root / "link.py").symlink_to(root / "package" / "__main__.py")
    return root


def run(folder, *command):
    command = [sys.executable, *command]
    return subprocess.run(
        command, cwd=folder, input=b"typed", capture_output=True, timeout=60, check=False, env=ENVIRONMENT
    )


def assert_same(folder, record, *args, python=(), silent=False):
    native = run(folder, *python, *args)
    ours = run(folder, *python, "-m", "trainwright", "run", "--folder", record, *args)
    assert ours.stdout == native.stdout
    assert ours.stderr.startswith(native.stderr)
    said = ours.stderr[len(native.stderr) :]
    assert re.fullmatch(rb"" if silent else rb"trainwright: No training was seen: .*\n", said)
    assert ours.returncode == (native.returncode or (0 if silent else UNTRAINED))
    return native


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_behaves_as_under_python(folder, tmp_path, name):
    assert_same(folder, tmp_path, f"{name}.py", silent=name in SILENT)


@pytest.mark.parametrize(
    "path",
    [
        "./surroundings.py",
        "package/../surroundings.py",
        "package/__main__.py",
        "link.py",
        "{}/surroundings.py",
    ],
)
def test_the_script_may_be_named_in_any_way(folder, tmp_path, path):
    assert b"__main__" in assert_same(folder, tmp_path, path.format(folder)).stdout


@pytest.mark.parametrize(
    "args", [("--help",), ("-m", "x"), ("--", "-"), ("--epochs", "3", "run", ""), ("a b",)]
)
def test_the_arguments_are_the_script_s_own(folder, tmp_path, args):
    assert_same(folder, tmp_path, "surroundings.py", *args)


@pytest.mark.parametrize(
    "name", ["package", "package.train", "package.pickles", "package.none", "surroundings"]
)
def test_a_module_behaves_as_under_python(folder, tmp_path, name):
    assert_same(folder, tmp_path, "-m", name, "--epochs", "3")


@pytest.mark.parametrize("flags", [("-P",), ("-O",), ("-u",), ("-W", "error"), ("-X", "utf8"), ("-B", "-s")])
def test_flags_of_python_keep_their_meaning(folder, tmp_path, flags):
    assert_same(folder, tmp_path / "1", "warns.py", python=flags)
    assert_same(folder, tmp_path / "2", "surroundings.py", python=flags)
