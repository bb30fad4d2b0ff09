"""The HTML report: whole, small, self-contained, escaped, legible, and without error in a real browser."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest

from trainwright.core import Case, Evidence, Facts, Finding, Run, Series, Severity, Signal, Where, rule
from trainwright.report.html import html
from trainwright.signals import (
    accuracy,
    activation_std,
    constant_loss,
    dead_units,
    epoch,
    grad_norm,
    learning_rate,
    loss,
    saturated_units,
    update_ratio,
    valid_accuracy,
    valid_loss,
)

NOBODY = Case(sick=lambda: None, healthy=lambda: None)
SOURCE = {
    str(n): line
    for n, line in enumerate(
        """\
import torch
from torch import nn


class Deep(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        layers = []
        for _ in range(12):
            layers += [nn.Linear(width, width), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(width, 10), nn.Softmax(dim=1))

    def forward(self, x):
        return self.head(self.body(x))


net = Deep()
sgd = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
criterion = nn.CrossEntropyLoss()
""".splitlines(),
        1,
    )
}


@rule(severity=Severity.HARM, needs=(grad_norm,), case=NOBODY)
def fading_gradient(run: Run) -> Iterator[Finding]:
    """Early layers receive almost no gradient.

    ## Why it hurts
    The gradient shrinks with every layer on its way back; the first layers **stay as they were** initialised.

    ## Evidence
    The first layers' gradient is below `ratio` of the last layers'.

    ## What to do
    - **unit-variance-init**: Start with weights that keep the variance from layer to layer.

          for m in net.modules():
              if isinstance(m, nn.Linear):
                  nn.init.xavier_normal_(m.weight)

    ## When it is wrong

    | case | why |
    | --- | --- |
    | frozen layers | on purpose |

    ## Sources
    - Glorot & Bengio, [Understanding the difficulty](https://example.org/glorot10a), AISTATS 2010
    """
    yield Finding(
        "Layers from `body.0` on get 3.2e-09 of the gradient that reaches `head.0`; the loss stays at 2.302",
        evidence=(
            Evidence("gradient of the first layers / of the last", 3.2e-9, 1e-4, "ratio"),
            Evidence("change of the first layers' weights", 4.1e-10, 1e-7, "of their size per step"),
        ),
        where=(run.where("body.0"), run.where("head.0")),
        steps=(40, 479),
        fix="Start the layers from `body.0` to `head.0` with weights that keep the variance of what passes through.",
    )


@rule(severity=Severity.FATAL, case=NOBODY)
def squashed_twice(run: Run) -> Iterator[Finding]:
    """Probabilities go into a loss that takes raw outputs.

    ## Why it hurts
    The loss cannot fall below its floor.
    """
    yield Finding(
        "`cross_entropy` takes raw outputs but gets the result of a softmax: the loss cannot go below 1.46",
        evidence=(Evidence("lowest loss that probabilities allow", 1.4612, 0.0, "nats"),),
        where=(Where("head.1", None, "train.py", 12), Where(None, None, "train.py", 20)),
        steps=(0, 479),
        fix="Give `cross_entropy` what goes into the softmax.",
    )


@rule(severity=Severity.HINT, needs=(learning_rate,), case=NOBODY)
def slow_rate(run: Run) -> Iterator[Finding]:
    """The learning rate is low."""
    yield Finding("The rate falls to 0.0005 while the loss still moves", (), steps=(360, 479))


@rule(
    severity=Severity.HARM,
    needs=(Signal("nowhere", "Never read.", "1", grad_norm.at, grad_norm.read),),
    case=NOBODY,
)
def blind_spot(run: Run) -> Iterator[Finding]:
    """Needs what no run here has."""
    yield from ()


@rule(severity=Severity.HARM, needs=(loss,), case=NOBODY)
def all_is_well(run: Run) -> Iterator[Finding]:
    """Looks at the loss and finds nothing."""
    yield from ()


RULES = (squashed_twice, fading_gradient, slow_rate, blind_spot, all_is_well)


def deep_run() -> Run:
    """A made-up run of twelve tanh layers in which the gradient fades, with a spike and an infinite loss."""
    rng = np.random.default_rng(0)
    steps = np.arange(480)
    sampled = np.unique(np.r_[np.arange(10), np.arange(10, 480, 7)])
    names = ["body", *(f"body.{i}" for i in range(24)), "head", "head.0", "head.1"]
    layers = [*(f"body.{i}" for i in range(0, 24, 2)), "head.0"]
    parameters = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    t = sampled[:, None] / 480
    depth = np.repeat(np.arange(13), 2)[None, :]
    grads = 10 ** (-0.72 * (12 - depth) - 0.3 * t) * rng.lognormal(0, 0.2, (len(sampled), 26))
    spread = 0.9 * 0.62 ** np.arange(13)[None, :] * rng.lognormal(0, 0.05, (len(sampled), 13)) * (1 + 0.3 * t)
    curve = 2.3026 + 0.012 * rng.standard_normal(480) + 0.08 * np.exp(-steps / 40)
    curve[200] = 2.62
    curve[300] = np.inf
    ends = np.arange(59, 480, 60)

    def whole(at: np.ndarray, values: np.ndarray) -> Series:
        return Series(at, ("",), np.asarray(values, np.float32)[:, None])

    rates = 0.05 * 0.5 * (1 + np.cos(np.pi * steps / 480)) + 5e-4
    series = {
        loss: whole(steps, curve),
        valid_loss: whole(ends, 2.3026 + 0.004 * rng.standard_normal(8)),
        constant_loss: whole(sampled, np.full(len(sampled), 2.3022)),
        accuracy: whole(sampled, 0.1 + 0.02 * rng.standard_normal(len(sampled))),
        valid_accuracy: whole(ends, np.full(8, 0.1)),
        learning_rate: Series(steps, ("0", "1"), np.stack([rates, rates / 10], 1).astype(np.float32)),
        epoch: whole(steps, 1 + steps // 60),
        grad_norm: Series(sampled, tuple(parameters), grads.astype(np.float32)),
        update_ratio: Series(sampled, tuple(parameters), (grads * 0.05).astype(np.float32)),
        activation_std: Series(sampled, tuple(layers), spread.astype(np.float32)),
        saturated_units: Series(
            sampled, tuple(layers[:-1]), np.clip(spread[:, :-1] - 0.6, 0, 1).astype(np.float32)
        ),
        dead_units: Series(
            sampled[5:], ("body.0", "body.2"), np.tile(np.float32([0, 0.25]), (len(sampled) - 5, 1))
        ),
    }
    facts = Facts(
        script="train.py",
        argv=["train.py", "--epochs", "8"],
        command="trainwright run train.py --epochs 8",
        started="2026-03-02T10:15:00+00:00",
        finished="2026-03-02T10:15:21+00:00",
        exit_status=0,
        versions={"python": "3.12.4", "torch": "2.13.0", "trainwright": "0.1.0"},
        device="cpu",
        steps=480,
        epochs=8,
        steps_per_epoch=60.0,
        batch_size=64,
        dataset_size=3840,
        shuffled=True,
        modules={
            name: {
                "type": "Sequential"
                if "." not in name
                else "Tanh"
                if int(name.split(".")[1]) % 2
                else "Linear",
                "site": {"file": "train.py", "line": 12 if name.startswith("head") else 10},
                "children": 0,
                "activation": None,
            }
            for name in names
        },
        parameters={
            name: {
                "shape": [32, 32] if name.endswith("weight") else [32],
                "module": name.rpartition(".")[0],
                "trainable": True,
                "dtype": "float32",
                "optimizer": 0,
                "initial_std": 0.03,
                "initial_mean": 0.0,
                "equal_units": False,
                "got_gradient": True,
            }
            for name in parameters
        },
        optimizers=[
            {
                "type": "SGD",
                "site": {"file": "train.py", "line": 19},
                "groups": [{"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0, "parameters": 26}],
                "zero_grad_calls": 480,
                "clip": [],
                "scheduler": "CosineAnnealingLR",
            }
        ],
        given_up=["`torch.compile`d functions of your own were not looked into."],
        own_failures=[],
        overhead={
            "budget": 0.02,
            "own_s": 0.31,
            "startup_s": 0.12,
            "run_s": 20.9,
            "share": 0.0148,
            "sampled": 77,
        },
        sources={"train.py": SOURCE},
    )
    return Run({what.name: values for what, values in series.items()}, facts)


def judged(run: Run) -> tuple[Finding, ...]:
    return tuple(f for r in (squashed_twice, fading_gradient, slow_rate) for f in r(run))


def page_of(run: Run, findings: tuple[Finding, ...] | None = None) -> str:
    return html(run, judged(run) if findings is None else findings, RULES)


@pytest.fixture(scope="module")
def page() -> str:
    return page_of(deep_run())


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text outside of script and style."""

    def __init__(self, page: str):
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text += data

    def values(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.all if name in attributes]


def big_run() -> Run:
    """Ten thousand steps, three hundred places."""
    rng = np.random.default_rng(0)
    steps = np.arange(10_000)
    layers = tuple(f"layers.{i}" for i in range(300))
    places = tuple(f"{layer}.weight" for layer in layers)
    curve = (2 * np.exp(-steps / 3000) + 0.1 * rng.standard_normal(10_000)).astype(np.float32)
    curve[6_321] = 40.0
    series = {
        "loss": Series(steps, ("",), curve[:, None]),
        "learning_rate": Series(steps, ("0",), np.full((10_000, 1), 0.1, np.float32)),
        "grad_norm": Series(steps, places, rng.lognormal(size=(10_000, 300)).astype(np.float32)),
        "update_ratio": Series(steps, places, rng.lognormal(-7, 1, (10_000, 300)).astype(np.float32)),
        **{
            name: Series(steps, layers, rng.random((10_000, 300), np.float32))
            for name in ("activation_std", "dead_units", "saturated_units")
        },
    }
    modules = {
        f"layers.{i}": {"type": "Linear", "site": None, "children": 0, "activation": None} for i in range(300)
    }
    of_each = {"shape": [64, 64], "trainable": True, "optimizer": 0, "dtype": "float32"}
    parameters = {p: {"module": p.rpartition(".")[0], **of_each} for p in places}
    return Run(series, {"steps": 10_000, "modules": modules, "parameters": parameters})


def points(page: str, label: str) -> list[tuple[int, int]]:
    """The points of the line of that name on a chart, in its box of 10,000 x 10,000."""
    lines = re.findall(rf'<polyline points="([^"]*)"[^>]* data-label="{label}"', page)
    return [(int(x), int(y)) for line in lines for x, y in (p.split(",") for p in line.split())]


def sheets(elements: Elements) -> list[dict[str, str | None]]:
    """The boxes of tables that may be wider than the page."""
    found = [a for t, a in elements.all if t == "div" and "sheet" in (a.get("class") or "").split()]
    assert found
    return found


class TestThePage:
    def test_is_small(self, page):
        assert len(page.encode()) < 200_000

    def test_of_a_large_run_is_small_and_its_spike_is_drawn(self):
        page = page_of(big_run(), ())
        assert len(page.encode()) < 200_000
        across, _ = min(points(page, "training loss"), key=lambda point: point[1])
        assert across == round(10_000 * 6_321 / 9_999)

    def test_refers_to_nothing_outside_of_itself(self, page):
        elements = Elements(page)
        assert not [t for t, _ in elements.all if t in ("link", "iframe", "object", "embed", "base")]
        assert not [
            t for t, a in elements.all if {"src", "srcset", "action", "poster", "background"} & set(a)
        ]
        assert all(h.startswith(("#", "data:image/png;base64,")) for h in elements.values("href"))
        assert "url(" not in page
        assert "@import" not in page
        assert "default-src 'none'" in page, "a browser is told to load nothing"

    def test_holds_everything_without_its_script(self, page):
        text = Elements(page).text
        for finding in judged(deep_run()):
            assert finding.message.replace("`", "") in text.replace("`", "")
            assert finding.fix.replace("`", "") in text.replace("`", "")
        assert "train.py:10" in text
        assert "layers += [nn.Linear(width, width), nn.Tanh()]" in text
        assert "Why it hurts" in text
        assert "3.2e-9" in text

    def test_draws_each_finding_at_the_step_where_it_begins(self, page):
        flags = re.findall(
            r'<a href="#finding-(\d)" class="flag (\w+)"><title>[^<]*</title><circle [^>]*data-x="([\d.]+)"',
            page,
        )
        drawn = {int(number): (severity, float(x)) for number, severity, x in flags}
        assert drawn == {
            1: ("fatal", 0.0),
            2: ("harm", pytest.approx(40 / 479, abs=1e-4)),
            3: ("hint", pytest.approx(360 / 479, abs=1e-4)),
        }

    def test_links_lead_somewhere_and_from_each_finding_to_the_curves(self, page):
        elements = Elements(page)
        links = [h[1:] for h in elements.values("href") if h.startswith("#")]
        ids = elements.values("id")
        assert set(links) <= set(ids)
        assert len(ids) == len(set(ids))
        for article in re.findall(r"<article.*?</article>", page, re.DOTALL):
            assert 'href="#curves"' in article

    def test_folds_the_page_of_a_rule_under_its_finding(self, page):
        articles = re.findall(r"<article.*?</article>", page, re.DOTALL)
        for article, rule_ in zip(articles, RULES[:3], strict=True):
            (fold,) = re.findall(r"<details><summary>.*?</details>", article, re.DOTALL)
            assert rule_.name in fold
            assert rule_.summary in fold
        assert "nn.init.xavier_normal_(m.weight)" in articles[1]
        assert "(https://example.org/glorot10a)" in articles[1], "an address is text, not a link"

    def test_is_for_the_keyboard_and_for_a_reader(self, page):
        elements = Elements(page)
        of = {kind: [a for t, a in elements.all if t == kind] for kind, _ in elements.all}
        assert [a["lang"] for a in of["html"]] == ["en"]
        first = next(a for t, a in elements.all if t == "a")
        assert (first["class"], first["href"]) == ("skip", "#main")
        assert all(a.get("aria-label") or a.get("aria-hidden") or a.get("class") == "data" for a in of["svg"])
        assert len(of["details"]) == len(re.findall(r"<details[^>]*><summary>", page)) >= 5
        assert all(a.get("scope") for a in of["th"] if a)
        assert all(
            a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in sheets(elements)
        )

    def test_draws_its_charts_without_its_script(self, page):
        still = re.sub(r"<script>.*</script>", "", page, flags=re.DOTALL)
        assert points(still, "training loss")
        assert points(still, "validation loss")
        assert still.count('href="data:image/png;base64,') == 5, "a heat map for each signal of layers"
        assert "hidden" not in {name for _, a in Elements(still).all for name in a}

    def test_has_a_style_for_paper_and_for_the_dark(self, page):
        assert "@media print" in page
        assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "${body}", "]]>&amp;"]
)
def test_names_and_messages_of_others_are_text(hostile):
    run = deep_run()
    run.facts["script"] = hostile
    run.facts["sources"] = {"train.py": {"10": hostile}}
    finding = Finding(
        hostile,
        (Evidence(hostile, 1.0, 2.0, hostile),),
        (Where(hostile, None, "train.py", 10),),
        fix=hostile,
        severity=Severity.HARM,
        rule="fading-gradient",
    )
    elements = Elements(page_of(run, (finding,)))
    assert sum(tag == "script" for tag, _ in elements.all) == 1, "its own"
    assert not [tag for tag, a in elements.all if any(name.startswith("on") for name in a)]
    assert hostile in elements.text


@pytest.mark.parametrize(
    "run",
    [
        Run({}),
        Run({}, {"steps": 3}),
        Run({"loss": Series(np.arange(2), ("",), np.full((2, 1), np.inf, np.float32))}, {"steps": 2}),
        Run({"loss": Series(np.arange(3), ("", "gan.py:7"), np.ones((3, 2), np.float32))}, {"steps": 3}),
        Run({"grad_norm": Series(np.arange(1), ("w",), np.zeros((1, 1), np.float32))}, {"steps": 1}),
    ],
    ids=["nothing", "no-signals", "all-infinite", "several-losses", "zeros"],
)
def test_odd_runs_have_a_page_too(run):
    odd = Finding(
        "odd", (Evidence("x", float("inf"), float("nan"), "1"),), severity=Severity.HINT, rule="slow-rate"
    )
    page = page_of(run, (odd,))
    assert "</html>" in page
    assert "<td>not finite</td><td>not finite</td>" in page


def test_all_rules_are_the_default():
    assert "<!doctype html" in html(deep_run(), ()).lower()


def luminance(colour: str) -> float:
    """Relative luminance. Source: WCAG 2.2, "relative luminance"."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def colours(scheme: str) -> dict[str, str]:
    css = files("trainwright.report").joinpath("template.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    assert light.keys() == dark.keys()
    return light if scheme == "light" else dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_palette_has_the_contrast_of_aa(scheme):
    """Source: WCAG 2.2, success criteria 1.4.3 (text: 4.5) and 1.4.11 (graphics: 3)."""
    of = colours(scheme)
    texts = [
        *itertools.product(("ink", "soft", "link"), ("page", "paper", "sunken")),
        *(("ink", ground) for ground in ("fatal-tint", "harm-tint", "hint-tint", "mark")),
        *((tone, "paper") for tone in ("fatal", "harm", "hint", "good")),
        *(("on-badge", tone) for tone in ("fatal", "harm", "hint", "soft")),
        ("page", "ink"),  # the box with values beside the pointer
    ]
    lines = ["train", "valid", "reference", "first", "middle", "last", *(f"line-{i}" for i in range(5))]
    read = {pair: contrast(of[pair[0]], of[pair[1]]) for pair in texts}
    assert not {pair: ratio for pair, ratio in read.items() if ratio < 4.5}
    drawn = {line: contrast(of[line], of["paper"]) for line in lines}
    assert not {line: ratio for line, ratio in drawn.items() if ratio < 3}


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --allow-file-access-from-files --enable-logging=stderr --v=0 "
    "--virtual-time-budget=4000 --window-size=1400,900 --dump-dom"
).split()
# A window is never narrower than 500 pixels; a frame is. The page in it is as users get it, with its own policy.
VISITOR = """\
<!doctype html>
<iframe src="report.html" style="border: 0; width: WIDTHpx; height: 900px"></iframe>
<script>
  onload = () => {
    const { contentDocument: page, contentWindow: view } = document.querySelector("iframe");
    const plot = page.querySelector("#curves .plot");
    const press = (key) => plot.dispatchEvent(new view.KeyboardEvent("keydown", { key, bubbles: true }));
    press("ArrowRight");
    const heard = page.querySelector("[aria-live]").textContent;
    page.querySelectorAll("details").forEach((fold) => { fold.open = true; });
    const wide = page.scrollingElement.scrollWidth;
    press("+");
    const seen = { inner: view.innerWidth, wide, heard, box: plot.querySelector(".data").getAttribute("viewBox") };
    document.title = "seen " + JSON.stringify(seen);
  };
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH to open the page in")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_error_and_without_scrolling_sideways(page, tmp_path, width):
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    visitor = tmp_path / "visitor.html"
    visitor.write_text(VISITOR.replace("WIDTH", str(width)), encoding="utf-8")

    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", visitor.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)

    title = re.search(r"<title>seen (.*?)</title>", done.stdout)
    assert title, done.stdout[:300] + done.stderr[-2000:]
    seen = json.loads(unescape(title[1]))
    assert seen["inner"] == width
    assert seen["wide"] <= width
    assert "training loss: 2." in seen["heard"], "the arrow keys read the curve"
    assert seen["box"] != "0 0 10000 10000", "plus zooms"
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
