import json
from pathlib import Path

import pytest

from trainwright.source import NAMES, UnreadableBaseline, judge, new, parse, written

from .snippets import START

STEP = "for x, y in loader:\n    criterion(model(x), y).backward()\n    optimizer.step()\n"


def seen(text, file="src/train.py"):
    return judge(parse(file, START + text), NAMES, NAMES)


@pytest.fixture
def baseline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("known.json")
    path.write_text(written(seen(STEP), path), encoding="utf-8")
    return path


def test_what_is_in_it_is_known_wherever_it_has_moved(baseline):
    assert new(seen(STEP), baseline) == []
    assert new(seen("\n\n# more above\n" + STEP), baseline) == []
    assert new(seen(STEP, str(Path("src/train.py").absolute())), baseline) == []


def test_what_is_another_line_file_or_rule_is_new(baseline):
    assert len(new(seen(STEP.replace("optimizer.step()", "optimizer.step() ; i = 1")), baseline)) == 1
    assert len(new(seen(STEP, "src/other.py"), baseline)) == 1
    softmax = "loss = criterion(torch.softmax(model(x), 1), y)\n"
    assert [s.finding.rule for s in new(seen(softmax + STEP), baseline)] == ["double-softmax"]


def test_of_equal_lines_it_knows_as_many_as_it_names(baseline):
    assert len(new(seen(STEP + STEP), baseline)) == 1


def test_it_is_the_same_text_for_the_same_findings(baseline):
    twice = seen(STEP, "b.py") + seen(STEP, "a.py")
    assert written(twice, baseline) == written(twice[::-1], baseline)
    assert "src/train.py" in baseline.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no baseline"),
        ("", "is no baseline"),
        ("[]", "is no baseline"),
        ('{"version": 1, "findings": [{}]}', "is no baseline"),
        (json.dumps({"version": 7, "findings": []}), "has format 7"),
    ],
)
def test_one_that_cannot_be_used_is_said_in_a_sentence(tmp_path, text, said):
    path = tmp_path / "known.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableBaseline, match=said):
        new([], path)
