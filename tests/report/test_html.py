"""The HTML report: whole, small, self-contained, escaped, legible, and without error in a real browser."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest

from trainwright.core import Case, Evidence, Facts, Finding, Run, Series, Severity, Signal, Where, rule
from trainwright.report.axis import extremes
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


class TestThePage:
    def test_is_small(self, page):
        assert len(page.encode()) < 200_000

    def test_of_a_large_run_is_small_and_its_spike_survives(self):
        page = page_of(big_run(), ())
        assert len(page.encode()) < 200_000
        kept = extremes(np.asarray(big_run().series["loss"].values[:, 0], float), 320)
        assert 6_321 in kept

    def test_refers_to_nothing_outside_of_itself(self, page):
        elements = Elements(page)
        assert not [tag for tag, _ in elements.all if tag in ("link", "iframe", "object", "embed", "base")]
        assert all(s.startswith("data:") for s in elements.values("src"))
        allowed = ("#", "data:", "https://example.org/glorot10a")  # the last is a source that a page cites
        assert all(h.startswith(allowed) for h in elements.values("href"))
        assert "url(" not in page.replace("url(#", "")
        assert "@import" not in page
        assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page

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
        links = [h for h in Elements(page).values("href") if h.startswith("#")]
        ids = set(Elements(page).values("id"))
        assert {h[1:] for h in links} <= ids, "a link leads nowhere"
        for number in (1, 2, 3):
            assert links.count(f"#finding-{number}") >= 1

    def test_is_for_the_keyboard_and_for_a_reader(self, page):
        elements = Elements(page)
        assert ("html", {"lang": "en"}) in [
            (t, {"lang": a.get("lang")}) for t, a in elements.all if t == "html"
        ]
        assert any(a.get("class") == "skip" for _, a in elements.all)
        labels = [a for t, a in elements.all if t == "svg" and a.get("class") != "data"]  # the lines inside
        assert labels
        assert all(a.get("aria-label") or a.get("aria-labelledby") or a.get("aria-hidden") for a in labels)
        assert sum(t == "summary" for t, _ in elements.all) >= 3
        headings = [a for t, a in elements.all if t == "th"]
        assert sum("scope" in a for a in headings) > 10

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
    assert "</html>" in page_of(run, (odd,))


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_palette_has_the_contrast_of_aa(scheme):
    css = files("trainwright.report").joinpath("template.css").read_text("utf-8")
    light, dark = css.split("prefers-color-scheme: dark", 1)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light if scheme == "light" else dark))
    for text, ground in itertools.product(
        ("ink", "soft", "link", "fatal", "harm", "hint", "good"), ("page", "paper", "sunken")
    ):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for kind in ("fatal", "harm", "hint"):
        assert contrast(colours["ink"], colours[f"{kind}-tint"]) >= 4.5
        assert contrast(colours["on-badge"], colours[kind]) >= 4.5
    for line in ("train", "valid", "reference"):
        assert contrast(colours[line], colours["paper"]) >= 3, "graphics need 3"


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH to open the page in")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_error_and_without_scrolling_sideways(page, tmp_path, width):
    assert CHROMIUM is not None
    # The page's own policy lets no other script run, so the probe replaces it; the page is otherwise as it is.
    probe = "document.title = 'wide ' + document.scrollingElement.scrollWidth + ' of ' + window.innerWidth"
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    path = tmp_path / "report.html"
    path.write_text(open_page.replace("</body>", f"<script>{probe}</script></body>"), encoding="utf-8")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --enable-logging=stderr --v=0 --virtual-time-budget=2000"
    ).split()
    done = subprocess.run(
        [
            CHROMIUM,
            *flags,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},900",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found = re.search(r"<title>wide (\d+) of (\d+)</title>", done.stdout)
    assert found, done.stdout[:300]
    assert int(found[1]) <= int(found[2])
    assert "CONSOLE" not in done.stderr
