"""What machines read: the JSON against its schema, SARIF against the standard's shape, GitHub's escaping."""

import json
import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from trainwright.core import Evidence, Finding, Run, Severity, Where
from trainwright.report.data import as_json, github, near, sarif

SCHEMA = json.loads(files("trainwright.report").joinpath("schema-1.json").read_text())
KEYS = ["schema_version", "script", "exit_status", "log", "steps", "overhead", "verdict", "findings"]


def valid(data):
    """What comes back after writing and reading, checked against the schema."""
    again = json.loads(json.dumps(data, allow_nan=False))
    Draft202012Validator(SCHEMA).validate(again)
    return again


def test_the_schema_is_itself_valid_and_refuses_what_is_wrong(run, findings, rules):
    Draft202012Validator.check_schema(SCHEMA)
    data = as_json(run, findings, rules)
    data["findings"][0]["severity"] = "bad"
    with pytest.raises(ValidationError):
        valid(data)


def test_the_json_has_exactly_the_promised_fields(run, findings, rules):
    data = valid(as_json(run, findings, rules))
    assert list(data) == KEYS
    assert data["schema_version"] == 1
    assert data["script"].endswith("my train.py")
    assert data["exit_status"] == 0
    assert data["steps"] == 120
    assert data["overhead"]["share"] == 0.0131
    assert data["verdict"]["kind"] == "findings"
    assert "120 optimiser steps" in data["verdict"]["looked_at"]
    fatal, harm, hint = data["findings"]
    fields = ["rule", "severity", "message", "where", "steps", "evidence"]
    assert list(fatal) == [*fields, "fix", "remedies"]
    assert list(harm) == [*fields, "remedies"]
    assert [f["severity"] for f in data["findings"]] == ["fatal", "harm", "hint"]
    assert list(fatal["where"]) == ["module", "parameter", "file", "line"]
    assert fatal["where"]["line"] == 1
    assert hint["where"] == dict.fromkeys(["module", "parameter", "file", "line"])
    assert fatal["steps"] == [3, 119]
    assert harm["evidence"][0] == {"what": "first / last", "measured": 8.6e-9, "limit": 1e-3, "unit": "ratio"}
    assert [r["name"] for r in harm["remedies"]] == ["warm-socks", "short-way"]
    assert fatal["remedies"] == []


def test_an_empty_run_is_valid_too():
    data = valid(as_json(Run({}), ()))
    assert data["script"] is data["exit_status"] is data["overhead"] is None
    assert data["verdict"]["kind"] == "too-little-seen"
    assert data["findings"] == []


numbers = st.floats() | st.floats(width=32).map(np.float32) | st.integers().map(lambda n: np.int64(n % 2**60))


@given(numbers, numbers, st.text(), st.integers(0, 10**6).map(np.int64))
def test_any_number_and_text_gives_valid_json(measured, limit, words, step):
    finding = Finding(
        words or "x", (Evidence(words, measured, limit, words),), steps=(step, step), severity=Severity.HINT
    )
    run = Run({}, {"overhead": {"share": measured, "budget": None, "sampled": 3}})
    found = valid(as_json(run, (finding,)))["findings"][0]["evidence"][0]
    read = float("nan") if found["measured"] is None else float(found["measured"])
    assert read == pytest.approx(float(measured), nan_ok=True)


def test_sarif_has_the_shape_of_2_1_0(run, findings, rules):
    log = json.loads(json.dumps(sarif(run, findings, rules), allow_nan=False))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (only,) = log["runs"]
    driver = only["tool"]["driver"]
    assert driver["name"] == "trainwright"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", driver["semanticVersion"])
    assert len({r["id"] for r in driver["rules"]}) == len(driver["rules"]) == 3
    for known in driver["rules"]:
        assert known["shortDescription"]["text"]
        assert known["help"]["text"]
        assert known["defaultConfiguration"]["level"] in {"note", "warning", "error"}
    assert [r["level"] for r in only["results"]] == ["error", "warning", "note"]
    for result in only["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        for location in result["locations"] + result["relatedLocations"]:
            assert set(location) <= {"id", "physicalLocation", "logicalLocations"}
            place = location.get("physicalLocation")
            if place:
                assert set(place) == {"artifactLocation", "region"}
                assert place["region"]["startLine"] >= 1
                assert place["artifactLocation"].get("uriBaseId", "ROOT") in only["originalUriBaseIds"]
    assert only["originalUriBaseIds"]["ROOT"]["uri"].endswith("/")
    (note,) = only["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"] == "signal `memory`: OSError: no such file"


def test_sarif_paths_lead_to_the_file(run, findings, rules, script):
    (only,) = sarif(run, findings, rules)["runs"]
    at = only["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert at == {"uri": "my%20train.py", "uriBaseId": "ROOT"}
    root = unquote(urlparse(only["originalUriBaseIds"]["ROOT"]["uri"]).path)
    assert Path(root, unquote(at["uri"])) == Path(script)
    (other,) = only["results"][0]["relatedLocations"]
    assert other["physicalLocation"]["artifactLocation"] == {"uri": "file:///elsewhere/lib.py"}


def test_github_annotations_are_one_line_each_with_their_level(run, findings):
    lines = github(run, findings).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::notice"]
    assert lines[0].startswith(
        "::error file=my train.py,line=1,title=fatal[no-feet]::the loss was `nan` 100 %25"
    )
    assert "in%0Aall steps" in lines[0]
    assert lines[2].startswith("::notice file=my train.py,title=hint[needs-more]::it may be nothing.%0A")


def unescaped(text, also=""):
    for character in f"\r\n{also}":
        text = text.replace(f"%{ord(character):02X}", character)
    return text.replace("%25", "%")


@given(st.text(min_size=1), st.text(alphabet="ab,:%/. \n", min_size=1))
def test_github_gets_back_what_was_meant(message, file):
    finding = Finding(message, (), (Where(file="/" + file, line=3),), severity=Severity.HARM, rule="a-rule")
    line = github(Run({}), (finding,))
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    assert "\r" not in line
    command, properties, said = re.fullmatch(r"::(\w+) (.*?)::(.*)\n", line, re.DOTALL).groups()
    assert command == "warning"
    told = dict(pair.split("=", 1) for pair in properties.split(","))
    assert unescaped(told["file"], ":,") == near("/" + file)
    assert told["line"] == "3"
    assert unescaped(said).startswith(message)


def test_a_path_is_short_where_it_can_be(script, tmp_path):
    assert near(script) == "my train.py"
    assert near(str(tmp_path / "a" / "b.py")) == str(Path("a", "b.py"))
    assert near(str(tmp_path) + "-other/b.py") == str(tmp_path) + "-other/b.py"
    assert near("<stdin>") == "<stdin>"
