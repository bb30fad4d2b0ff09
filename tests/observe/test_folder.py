"""Each run has a folder of its own, but the ranks of one launch share theirs; `last` is the newest."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import trainwright
from trainwright.observe import folder
from trainwright.observe.folder import follow, new_folder
from trainwright.observe.store import UnreadableRun, load

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(trainwright.__file__).parents[1])}


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("a/b/train.py", "train"),
        ("package.module", "package.module"),
        ("-c", "c"),
        ("mein Lauf (ü).py", "mein-Lauf-ü"),
        ("", "run"),
        ("..", "run"),
        ("x" * 300, "x" * 60),
    ],
)
def test_is_named_after_the_time_and_the_script(tmp_path, script, name):
    made = new_folder(script, tmp_path / "runs")
    assert made.is_dir()
    assert re.fullmatch(rf"\d{{8}}-\d{{6}}-{name}", made.name)


def test_two_runs_never_share_one(tmp_path, monkeypatch):
    monkeypatch.setattr(folder.time, "time", lambda: 1.8e9)
    made = [new_folder("train.py", tmp_path).name for _ in range(3)]
    assert made == [f"20270115-080000-train{n}" for n in ("", "-2", "-3")]


def test_last_is_a_relative_link_to_the_newest(tmp_path):
    for script in ("one.py", "two.py"):
        made = new_folder(script, tmp_path)
        assert os.readlink(tmp_path / "last") == made.name
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_where_links_are_not_possible_last_is_a_text_that_is_followed(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise OSError("not here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    new_folder("one.py", tmp_path)
    made = new_folder("two.py", tmp_path)
    assert (tmp_path / "last").is_file()
    assert follow(tmp_path / "last") == made
    with pytest.raises(UnreadableRun, match=r"`.*last` is not a run folder"):
        load(tmp_path / "last")
    made.rmdir()
    with pytest.raises(UnreadableRun, match=r"last` points to `.*two`, which does not exist"):
        load(tmp_path / "last")


def test_the_users_own_folder_named_last_is_left_alone(tmp_path):
    (tmp_path / "last").mkdir()
    new_folder("train.py", tmp_path)
    assert (tmp_path / "last").is_dir()
    assert not (tmp_path / "last").is_symlink()


def test_a_place_where_none_can_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(
        OSError, match=r"Cannot make a run folder in `.*runs` \(File exists\). Choose another place"
    ):
        new_folder("train.py", tmp_path / "runs")


class TestUnderTorchrun:
    SCRIPT = (
        "import sys; from pathlib import Path; from trainwright.observe.folder import new_folder;"
        "print(new_folder('train.py', Path(sys.argv[1])).name)"
    )

    def launch(self, root: Path, **environment: str) -> str:
        given = {"TORCHELASTIC_RUN_ID": "none", "MASTER_PORT": "29500", "RANK": "0", **environment}
        command = [sys.executable, "-c", self.SCRIPT, root]
        return subprocess.run(
            command, env=ENVIRONMENT | given, capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()

    def test_all_ranks_of_a_launch_share_one(self, tmp_path):
        made = {self.launch(tmp_path, RANK=str(rank)) for rank in range(3)}
        assert len(made) == 1
        assert made.pop().endswith(f"-train-{os.getpid()}-29500")
        assert (tmp_path / "last").is_dir()

    def test_another_launch_and_a_restart_get_another(self, tmp_path):
        variants = [{}, {"MASTER_PORT": "29501"}, {"TORCHELASTIC_RESTART_COUNT": "1"}]
        assert len({self.launch(tmp_path, **v) for v in variants}) == 3

    def test_the_start_of_the_launcher_is_the_same_for_all_that_ask(self):
        if not Path("/proc/stat").exists():
            pytest.skip("only Linux tells")
        command = [
            sys.executable,
            "-c",
            "from trainwright.observe.folder import _started; print(_started(int(input())))",
        ]
        asked = subprocess.run(
            command, input=str(os.getpid()), env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        assert asked.stdout.strip() == folder._started(os.getpid())
        assert re.fullmatch(r"\d{8}-\d{6}", asked.stdout.strip())
