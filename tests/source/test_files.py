import json

import pytest

from trainwright.source import NAMES, Unreadable, find, judge, read

LOOP = """\
import torch
from torch import nn, optim
for x, y in loader:
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
"""


def found(path):
    return [s.finding for s in judge(read(path), NAMES, NAMES)]


def notebook(path, *cells):
    code = [{"cell_type": "code", "source": c.splitlines(keepends=True)} for c in cells]
    prose = [{"cell_type": "markdown", "source": "# A title\nwith `code`"}]
    path.write_text(json.dumps({"cells": prose + code, "nbformat": 4}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("broken.py", b"import torch\ndef f(:\n", "is no Python, line 2"),
        ("latin.py", b"import torch\nname = '\xe9'\n", "is no text, line 2"),
        ("unknown.py", b"# -*- coding: klingon -*-\n", "unknown encoding"),
        ("zero.py", b"import torch\0\n", "null"),
        ("deep.py", b"x = " + b"(" * 5000 + b")" * 5000, "deep.py"),
        ("large.py", b"#" * 2_000_001, "more than the 2,000,000"),
        ("list.ipynb", b"[]", "is no notebook"),
        ("text.ipynb", b"hello", "is no notebook"),
        ("bytes.ipynb", b"\xff\xfe", "is no notebook"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_the_file(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Unreadable, match=name) as error:
        read(tmp_path / name)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# torch\n", b"\xef\xbb\xbfimport torch\n"])
def test_nothing_is_found_in_an_empty_file(tmp_path, data):
    (tmp_path / "empty.py").write_bytes(data)
    assert found(tmp_path / "empty.py") == []


def test_another_encoding_is_read_where_the_file_says_so(tmp_path):
    (tmp_path / "a.py").write_bytes(b"# -*- coding: latin-1 -*-\nname = '\xe9'\n" + LOOP.encode())
    (finding,) = found(tmp_path / "a.py")
    assert finding.where[0].line == 8


def test_lines_are_right_whatever_ends_them(tmp_path):
    (tmp_path / "a.py").write_bytes(LOOP.replace("\n", "\r\n").encode())
    (finding,) = found(tmp_path / "a.py")
    assert finding.where[0].line == 6


def test_folders_are_entered_in_order_and_files_are_read_once(tmp_path):
    for name in ("b.py", "a/c.py", "a/d.ipynb", "a/e.txt", ".hidden/f.py", "venv/g.py", "__pycache__/h.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    names = [p.relative_to(tmp_path).as_posix() for p in find([tmp_path, tmp_path / "b.py"])]
    assert names == ["b.py", "a/c.py", "a/d.ipynb"]
    assert [p.name for p in find([tmp_path / "venv"])] == ["g.py"]


def test_a_path_that_is_not_there_is_said(tmp_path):
    with pytest.raises(Unreadable, match=r"no file or folder `.*nowhere"):
        list(find([tmp_path / "nowhere"]))


class TestANotebook:
    def test_has_its_cells_lines(self, tmp_path):
        first, second = LOOP.split("for ")
        path = notebook(tmp_path / "a.ipynb", first, f"%matplotlib inline\n!ls\nfor {second}")
        (finding,) = found(path)
        assert finding.where[0] == ("cell 2", None, str(path), 6)

    def test_has_cells_of_other_languages_and_magics_left_out(self, tmp_path):
        path = notebook(
            tmp_path / "a.ipynb", "%%bash\nrm -f (", "%%time\nimport torch", "model?", "x = 7\\\n% 2"
        )
        assert (found(path), read(path).unread) == ([], ())

    def test_has_a_broken_cell_left_out_and_said(self, tmp_path):
        path = notebook(tmp_path / "a.ipynb", "def f(:", LOOP)
        assert [f.where[0].module for f in found(path)] == ["cell 2"]
        (said,) = read(path).unread
        assert "cell 1, is no Python, line 1" in said

    def test_may_be_empty(self, tmp_path):
        assert found(notebook(tmp_path / "a.ipynb")) == []
