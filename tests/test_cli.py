"""The command line on real trainings: what it leaves as it was, what it says, with which status it ends."""

import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import trainwright
from trainwright import cli
from trainwright.launch import UNTRAINED, UNWRITTEN
from trainwright.observe.store import load

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(trainwright.__file__).parents[1]), "COLUMNS": "100"}

TRAIN = """
import os, signal, sys, time
import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(*(m for _ in range(12) for m in (nn.Linear(8, 8), nn.Tanh())), nn.Linear(8, 1))
for p in net.parameters():
    nn.init.normal_(p, std=0.03)
sgd = torch.optim.SGD(net.parameters(), lr=0.05)

def step():
    x = torch.randn(16, 8)
    loss = nn.functional.mse_loss(net(x), x[:, :1].sin())
    sgd.zero_grad()
    loss.backward()
    sgd.step()
    return loss

if __name__ == "__main__":
    for i in range(30):
        loss = step()
        print(i, loss.item())
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "crash":
        try:
            loss.backward()
        except RuntimeError as error:
            raise ValueError("twice") from error
    if what == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    if what == "exit":
        sys.exit("enough")
    if what == "spawn":
        import spawned
        spawned.run()
    print(sys.argv, torch.rand(2), [p.abs().sum().item() for p in net.parameters()][:3])
"""
SPAWNED = """
import torch.multiprocessing as mp
import train

def work(rank):
    for _ in range(12):
        train.step()
    print("child is done", flush=True)

def run():
    mp.spawn(work)
"""
SHAPES = """
import traceback, torch
from torch import nn
import torch.nn.functional as F
net = nn.Linear(4, 1)
sgd = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.ones(8, 4), torch.ones(8)
F.mse_loss(net(x), y).backward()
nn.MSELoss()(net(x), y).backward()
for wrong in (
    lambda: F.mse_loss(net(x), "text"),
    lambda: torch.zeros(1).backward(),
    lambda: net.load_state_dict({}),
    lambda: torch.optim.SGD(net.parameters(), lr=-1),
):
    try:
        wrong()
    except Exception:
        traceback.print_exc()
sgd.step()
"""
RANKS = """
import sys, torch, torch.distributed as dist
from torch import nn
dist.init_process_group("gloo")
net = nn.parallel.DistributedDataParallel(nn.Linear(8, 1))
sgd = torch.optim.SGD(net.parameters(), lr=0.05)
for _ in range(12):
    x = torch.randn(16, 8)
    loss = nn.functional.mse_loss(net(x), x.sum(1, keepdim=True))
    sgd.zero_grad(); loss.backward(); sgd.step()
print(f"rank {dist.get_rank()}\\n", end="")
dist.destroy_process_group()
"""


def run(folder, *command, **options):
    command = [sys.executable, *command]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        timeout=100,
        check=False,
        env=ENVIRONMENT,
        text=True,
        **options,
    )


def trainwright_(folder, *command):
    return run(folder, "-m", "trainwright", *command)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli")
    for name, text in {"train": TRAIN, "spawned": SPAWNED, "shapes": SHAPES, "ranks": RANKS}.items():
        (root / f"{name}.py").write_text(text)
    return root


@pytest.fixture(scope="module")
def watched(folder):
    """A whole run of the sick net, and where it was recorded."""
    done = trainwright_(folder, "run", "--folder", "recorded", "train.py", "--epochs", "3")
    return done, folder / "recorded"


class TestRun:
    def test_leaves_output_and_status_as_they_are(self, folder, watched):
        native = run(folder, "train.py", "--epochs", "3")
        assert (watched[0].stdout, watched[0].returncode) == (native.stdout, native.returncode) != ("", 0)

    def test_reports_on_stderr_and_into_the_folder(self, watched):
        done, record = watched
        assert "[vanishing-gradient]" in done.stderr
        assert re.search(r"train\.py:\d+", done.stderr)
        found = json.loads((record / "findings.json").read_text())
        assert found["schema_version"] == 1
        assert found["steps"] == 30
        assert "vanishing-gradient" in (record / "report.html").read_text()
        assert load(record).facts["argv"] == ["--epochs", "3"]

    @pytest.mark.parametrize("how", ["crash", "interrupt", "exit"])
    def test_ends_as_the_script_ends_and_still_reports(self, folder, tmp_path, how):
        native = run(folder, "train.py", how)
        ours = trainwright_(folder, "run", "--folder", str(tmp_path), "train.py", how)
        assert ours.stdout == native.stdout
        assert ours.stderr.startswith(native.stderr)
        # On a busy machine python itself has been seen to end with 1 after the same traceback, for Ctrl-C.
        assert ours.returncode == (-signal.SIGINT if how == "interrupt" else native.returncode) != 0
        assert "[vanishing-gradient]" in ours.stderr
        assert load(tmp_path).steps == 30

    def test_dies_by_the_signal_that_ended_the_script(self, folder, tmp_path):
        done = trainwright_(folder, "run", "--folder", str(tmp_path), "train.py", "interrupt")
        assert done.returncode == -signal.SIGINT

    def test_leaves_no_trace_in_warnings_and_printed_tracebacks(self, folder, tmp_path):
        native = run(folder, "shapes.py")
        ours = trainwright_(folder, "run", "--folder", str(tmp_path), "shapes.py")
        assert native.stderr.count("Traceback") == 4
        assert native.stderr.count("UserWarning") == 2
        assert ours.stderr.startswith(native.stderr)

    def test_watches_spawned_processes_too(self, folder, tmp_path):
        native = run(folder, "train.py", "spawn")
        ours = trainwright_(folder, "run", "--folder", str(tmp_path), "train.py", "spawn")
        assert ours.stdout == native.stdout
        assert "child is done" in ours.stdout
        children = [load(p) for p in tmp_path.glob("p*.sqlite")]
        assert [child.steps for child in children] == [12]

    def test_under_torchrun_gives_one_report_on_all_ranks(self, folder, tmp_path):
        launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "trainwright", "run"]
        done = run(folder, *launch, "--folder", str(tmp_path), "ranks.py")
        assert sorted(done.stdout.splitlines()) == ["rank 0", "rank 1"]
        assert done.returncode == 0
        assert len(re.findall(r"^trainwright", done.stderr, re.MULTILINE)) == 1
        assert [load(tmp_path / f"rank{r}.sqlite").steps for r in (0, 1)] == [12, 12]
        assert json.loads((tmp_path / "findings.json").read_text())["steps"] == 12

    @pytest.mark.parametrize("text", ["print('no torch')", "import torch; torch.ones(3).sum()"])
    def test_says_in_one_sentence_that_nothing_trained(self, tmp_path, text):
        (tmp_path / "idle.py").write_text(text)
        done = trainwright_(tmp_path, "run", "idle.py")
        assert re.fullmatch(r"trainwright: No training was seen: .*\n", done.stderr)
        assert done.returncode == UNTRAINED


SLOW = """
import sys, time
import train
print("from the script", file=sys.stderr)
for _ in range(16):
    train.step()
    time.sleep(0.1)
print("half a line ", end="", file=sys.stderr, flush=True)
for _ in range(16):
    train.step()
    time.sleep(0.1)
print("and its end", file=sys.stderr)
"""


@pytest.mark.parametrize("room", [20_000, 90_000], ids=["for-nothing", "for-the-beginning"])
def test_a_full_disk_is_said_once_and_costs_only_the_record(folder, tmp_path, room):
    def no_more_than_that():  # no file may grow beyond it; python turns the signal into an error
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    command = [
        sys.executable,
        "-B",
        "-m",
        "trainwright",
        "run",
        "--folder",
        str(tmp_path / "run"),
        "train.py",
    ]
    ended = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, preexec_fn=no_more_than_that
    )
    assert ended.stdout == run(folder, "train.py").stdout
    assert ended.returncode == UNWRITTEN
    said = [line for line in ended.stderr.splitlines() if line.startswith("trainwright: ")]
    assert len([line for line in said if "the record" in line]) == 1, said
    assert "vanishing-gradient" in ended.stderr, "what was seen is judged all the same"


def test_progress_shows_on_a_terminal_and_touches_no_line_of_the_script(folder, tmp_path):
    (folder / "slow.py").write_text(SLOW)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "trainwright", "run", "--folder", str(tmp_path), "slow.py"]
    done = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 4096):
            written += part
    except OSError:  # how Linux says that the terminal was closed
        pass
    out = done.communicate()[0]
    assert (out, done.returncode) == (b"", 0)
    shown, _, report = written.decode().partition("and its end\r\n")
    drawn = re.findall(r"\r\x1b\[K(trainwright: step \d+, loss [\d.]+)\r(?=\r\x1b\[K)", shown)
    assert drawn, shown
    rest = shown.replace("\r\x1b[K", "")
    for line in drawn:
        rest = rest.replace(line + "\r", "", 1)
    assert rest == "from the script\r\nhalf a line "
    assert "[vanishing-gradient]" in report


class TestCheck:
    def test_stops_the_script_after_its_first_steps(self, folder, tmp_path):
        done = trainwright_(folder, "check", "--folder", str(tmp_path), "--steps", "12", "train.py")
        assert done.returncode == 0
        assert done.stdout.splitlines()[-1].startswith("10 ")
        assert "Traceback" not in done.stderr
        assert "[vanishing-gradient]" in done.stderr
        assert (load(tmp_path).steps, load(tmp_path).facts["stopped_by"]) == (12, "check")

    def test_findings_count_only_if_asked_to(self, folder, tmp_path):
        done = trainwright_(folder, "check", "--folder", str(tmp_path), "--fail-on", "hint", "train.py")
        assert done.returncode == 1

    def test_stops_spawned_processes_in_silence(self, folder, tmp_path):
        (folder / "spawn_only.py").write_text("import spawned\nif __name__ == '__main__': spawned.run()")
        done = trainwright_(folder, "check", "--folder", str(tmp_path), "spawn_only.py")
        assert (done.stdout, done.returncode) == ("", 0)
        assert "Traceback" not in done.stderr


class TestDiagnose:
    def test_judges_again_without_torch(self, folder, watched):
        code = (
            "import sys; from trainwright.cli import main; s = main(); sys.exit('torch' in sys.modules or s)"
        )
        done = run(folder, "-c", code, "diagnose", "recorded")
        assert done.returncode == 0, done.stderr
        assert "[vanishing-gradient]" in done.stdout

    @pytest.mark.parametrize(
        ("form", "begins"),
        [("json", "{"), ("sarif", "{"), ("github", "::"), ("html", "<!"), ("text", "trainwright")],
    )
    def test_writes_each_format_to_stdout_or_a_file(self, folder, watched, tmp_path, form, begins, capsys):
        assert cli.main(["diagnose", str(watched[1]), "--format", form]) == 0
        shown = capsys.readouterr().out
        assert shown.lower().startswith(begins)
        assert cli.main(["diagnose", str(watched[1]), "--format", form, "--output", str(tmp_path / "f")]) == 0
        assert (tmp_path / "f").read_text().lower().startswith(begins)
        assert capsys.readouterr().out == ""

    def test_the_ending_of_the_file_says_the_format(self, watched, tmp_path, capsys):
        for ending, begins in ((".json", "{"), (".html", "<!"), (".txt", "trainwright")):
            cli.main(["diagnose", str(watched[1]), "--output", str(tmp_path / f"f{ending}")])
            assert (tmp_path / f"f{ending}").read_text().lower().startswith(begins)

    def test_asks_only_the_rules_it_is_told_to(self, watched, capsys):
        assert cli.main(["diagnose", str(watched[1]), "--ignore", "vanishing-gradient"]) == 0
        assert "[vanishing-gradient]" not in capsys.readouterr().out
        assert cli.main(["diagnose", str(watched[1]), "--select", "overfitting,dead-units"]) == 0
        assert "[vanishing-gradient]" not in capsys.readouterr().out

    def test_takes_other_limits(self, watched, capsys):
        assert cli.main(["diagnose", str(watched[1]), "--set", "vanishing-gradient.ratio=1e-30"]) == 0
        assert "[vanishing-gradient]" not in capsys.readouterr().out

    def test_reads_the_project_s_settings_and_lets_the_command_line_win(
        self, watched, tmp_path, monkeypatch, capsys
    ):
        (tmp_path / "deep").mkdir()
        project = tmp_path / "pyproject.toml"
        project.write_text(
            '[tool.trainwright]\nselect = ["overfitting"]\nfail-on = "hint"\noverhead = "1%"\n'
        )
        monkeypatch.chdir(tmp_path / "deep")
        assert cli.main(["diagnose", str(watched[1])]) == 0
        assert cli.main(["diagnose", str(watched[1]), "--select", "vanishing-gradient"]) == 1
        assert "[vanishing-gradient]" in capsys.readouterr().out
        project.write_text("[tool.trainwright.set]\nvanishing-gradient.ratio = 1e-30\n")
        asked = ["diagnose", str(watched[1]), "--fail-on", "hint", "--select", "vanishing-gradient"]
        assert cli.main(asked) == 0
        assert cli.main([*asked, "--set", "vanishing-gradient.ratio=1e-4"]) == 1


BAD_PROJECTS = {
    "selct = []": "Did you mean `select`?",
    "select = 3": "`select` is not a list",
    'select = ["dead-unit"]': "Did you mean `dead-units`?",
    'set = {"dead-units.share" = "x"}': "`dead-units.share` is 'x'",
    "set = 1": "`set` is not a table",
    'fail-on = "worse"': "hint, harm or fatal",
    "overhead = 2": "is not a share",
    "overhead = ": "cannot read",
}
BAD_USES = {
    "run nope.py": "there is no file `nope.py`",
    "run trian.py": "Did you mean `train.py`?",
    "run .": "`.` is a folder",
    "run -m no_such.module": "there is no module `no_such.module`",
    "run": "which script?",
    "train.py": "trainwright run train.py",
    "run --overhead 200% train.py": "`200%` is not a share",
    "run --set dead-units=1 train.py": "Its limits: ",
    "run --set dead-units.share train.py": "RULE.LIMIT=NUMBER",
    "run --select dead-unit train.py": "Did you mean `dead-units`?",
    "run --folder train.py/x train.py": "cannot make the run folder",
    "run --folder recorded train.py": "holds the record of another run",
    "run --fail-on bad train.py": "invalid choice",
    "check --steps 0 train.py": "at least 1",
    "diagnose no/run": "`no/run`",
    "diagnose train.py": "train.py",
    "diagnose recorded --set overfitting.nothing=1": "has no limit `nothing`",
    "diagnose recorded --output no/folder/x.json": "cannot write the report",
    "explain vanishing-gradiant": "Did you mean `vanishing-gradient`?",
    "": "COMMAND",
}


class TestWrongUse:
    @pytest.mark.parametrize("line", BAD_USES)
    def test_is_answered_by_a_sentence_and_status_2(self, folder, watched, monkeypatch, capfd, line):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "__stderr__", sys.stderr)
        try:
            status = cli.main(line.split())
        except SystemExit as end:  # from argparse
            status = end.code
        out, err = capfd.readouterr()
        assert status == 2
        assert BAD_USES[line] in err
        assert "Traceback" not in err
        assert out == ""

    @pytest.mark.parametrize("text", BAD_PROJECTS)
    def test_of_pyproject_is_said_before_the_script_starts(self, watched, tmp_path, monkeypatch, capfd, text):
        (tmp_path / "pyproject.toml").write_text(f"[tool.trainwright]\n{text}\n")
        (tmp_path / "train.py").write_text("raise AssertionError('was started')")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "__stderr__", sys.stderr)
        for line in (["run", "train.py"], ["diagnose", str(watched[1])]):
            assert cli.main(line) == 2
            assert BAD_PROJECTS[text] in capfd.readouterr().err

    @pytest.mark.parametrize("cut", [0, 10, 5000])
    def test_a_record_that_is_cut_short_or_foreign_is_named(self, watched, tmp_path, capfd, monkeypatch, cut):
        monkeypatch.setattr(sys, "__stderr__", sys.stderr)
        (tmp_path / "rank0.sqlite").write_bytes((watched[1] / "rank0.sqlite").read_bytes()[:cut])
        assert cli.main(["diagnose", str(tmp_path)]) == 2
        assert "rank0.sqlite" in capfd.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["run", "train.py"],
        ["run", "train.py", "--help"],
        ["run", "--overhead", "5%", "--eager-probe", "--set=a.b=1", "train.py", "-m", "--", "--folder", "x"],
        ["check", "--steps", "3", "--fail-on", "harm", "train.py", "run", "other.py"],
        ["run", "--", "train.py", "--select"],
    ],
)
def test_what_follows_the_script_is_the_script_s(argv):
    own, rest = cli.split(argv)
    assert own + rest == argv
    assert own[-1] == "train.py"
    assert cli.parser().parse_args(own).script == "train.py"


@pytest.mark.parametrize(
    ("argv", "rest"),
    [
        (["run", "-m", "package.train"], []),
        (["run", "--output", "-m", "-m", "package.train", "-m", "x"], ["-m", "x"]),
        (["check", "-mpackage.train", "--help"], ["--help"]),
    ],
)
def test_what_follows_the_module_is_the_module_s(argv, rest):
    own, given = cli.split(argv)
    assert (own + given, given) == (argv, rest)


def test_every_option_takes_one_word_but_those_known_to_take_none():
    commands = next(a for a in cli.parser()._actions if a.dest == "command").choices
    for name, more in (("run", ()), ("check", cli.OF_SOURCE)):
        options = [a for a in commands[name]._actions if a.option_strings and a.nargs == 0]
        assert {s for a in options for s in a.option_strings} == {*cli.SWITCHES, *more}


def test_explain_prints_the_page_and_rules_lists_all(capsys):
    assert cli.main(["explain", "dead-units"]) == 0
    assert "## Why it hurts" in capsys.readouterr().out
    assert cli.main(["rules"]) == 0
    listed = capsys.readouterr().out
    assert all(rule.name in listed for rule in trainwright.rules.ALL)


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys; from trainwright.cli import parser; parser().format_help(); print(*sys.modules)"
    modules = set(run(".", "-c", code).stdout.split())
    assert not modules & {"torch", "numpy", "rich", "sqlite3", "json"}
    before = os.times()
    for _ in range(5):
        run(".", "-m", "trainwright", "--help")
    after = os.times()  # of the processor: the machine may be busy
    assert sum(after[2:4]) - sum(before[2:4]) < 5 * 0.15


def test_a_reader_that_stops_early_is_no_error(folder):
    pipe = f"{sys.executable} -m trainwright rules | head -1"
    done = subprocess.run(
        pipe, shell=True, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
