"""`trainwright check --static` as it is typed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import trainwright
from trainwright.cli import main, split

ROOT = Path(trainwright.__file__).parents[2]
SICK = "import torch\nfor x, y in loader:\n    criterion(model(x), y).backward()\n    optimizer.step()\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "sick.py").write_text(SICK)
    (tmp_path / "src" / "plain.py").write_text("print('no torch here')\n".replace("torch", "net"))
    return tmp_path


def check(*words):
    return main(["check", "--static", *words])


def test_the_text_names_rule_line_and_fix(folder, capsys):
    assert check("src") == 0
    said = capsys.readouterr().out
    assert "1 harmful finding in the source of 2 files, 1 of them with torch." in said
    assert "harm[missing-zero-grad]" in said
    assert "--> src/sick.py:4" in said
    assert "4 | optimizer.step()" in said
    assert "optimizer.zero_grad()" in said


def test_options_may_stand_anywhere(folder):
    assert check("src/plain.py", "--fail-on", "harm", "src/sick.py") == 1
    assert check("src/plain.py", "--fail-on=harm") == 0
    assert check("--ignore", "missing-zero-grad", "src", "--fail-on", "hint") == 0
    assert check("--select", "double-softmax", "--fail-on", "hint", "--", "src") == 0


def test_json_is_of_the_schema(folder, capsys):
    check("src", "--format", "json")
    data = json.loads(capsys.readouterr().out)
    schema = json.loads((Path(trainwright.__file__).parent / "report" / "schema-1.json").read_text())
    jsonschema.validate(data, schema)
    (finding,) = data["findings"]
    assert (finding["rule"], finding["where"]["file"], finding["where"]["line"]) == (
        "missing-zero-grad",
        str(Path("src/sick.py")),
        4,
    )
    assert data["verdict"]["kind"] == "findings"


def test_sarif_has_the_place_and_what_could_not_be_read(folder):
    (folder / "src" / "broken.py").write_text("def (")
    check("src", "--output", "out.sarif")
    (run,) = json.loads((folder / "out.sarif").read_text())["runs"]
    (result,) = run["results"]
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("src/sick.py", 4)
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "broken.py is no Python" in note["message"]["text"]


def test_github_gets_an_annotation(folder, capsys):
    check("src", "--format", "github")
    assert re.match(
        r"::warning file=src/sick.py,line=4,title=harm\[missing-zero-grad\]::", capsys.readouterr().out
    )


def test_a_baseline_leaves_old_findings_out(folder, capsys):
    assert check("src", "--baseline", "known.json", "--write-baseline") == 0
    assert check("src", "--baseline", "known.json", "--fail-on", "hint") == 0
    assert "No other fault" in capsys.readouterr().out
    (folder / "src" / "sick.py").write_text("# moved\n" + SICK + SICK)
    assert check("src", "--baseline", "known.json", "--fail-on", "hint") == 1


def test_settings_of_the_project_hold(folder):
    (folder / "pyproject.toml").write_text('[tool.trainwright]\nfail-on = "harm"\n')
    assert check("src") == 1
    (folder / "pyproject.toml").write_text(
        '[tool.trainwright]\nfail-on = "harm"\nignore = ["missing-zero-grad"]\n'
    )
    assert check("src") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.py"], "no file or folder `nowhere.py`"),
        (["src", "--select", "missing-zero-grat"], "Did you mean `missing-zero-grad`?"),
        (["src", "--select", "overfitting"], "none of these rules can be seen in a source"),
        (["src", "--format", "html"], "no HTML report"),
        (["src", "--output", "a.html"], "no HTML report"),
        (["src", "--baseline", "none.json"], "there is no baseline `none.json`"),
        (["src", "--write-baseline"], "--write-baseline needs a file"),
    ],
)
def test_a_wrong_use_is_status_2_and_a_sentence(folder, capsys, words, said):
    assert check(*words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--static"],
        ["--static", "--steps", "3", "a.py"],
        ["--static", "-m", "a"],
        ["--baseline", "b", "a.py"],
    ],
)
def test_what_does_not_go_with_it_is_refused(capsys, words):
    with pytest.raises(SystemExit) as end:
        main(["check", *words])
    assert end.value.code == 2


def test_where_nothing_could_be_read_it_ends_with_2(folder, capsys):
    (folder / "broken.py").write_text("def (")
    assert check("broken.py") == 2
    assert "No source could be read." in capsys.readouterr().out


def test_a_script_of_ours_keeps_its_own_arguments():
    assert split(["check", "train.py", "--static"]) == (["check", "train.py"], ["--static"])


def test_no_torch_is_imported(folder):
    code = (
        "import sys; from trainwright.cli import main; main(['check', '--static', 'src']); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "torch was imported"


def test_the_hook_calls_what_there_is():
    hooks = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert "id: trainwright" in hooks
    (entry,) = re.findall(r"entry: trainwright (.+)", hooks)
    assert split(entry.split())[0][:2] == ["check", "--static"]
