"""What is noted of a loss: its facts, and what the best constant prediction would score."""

import pytest
import torch
from torch import nn

import trainwright as tw
from trainwright import signals
from trainwright.core import Training
from trainwright.observe.losses import Losses, constant_loss

F = nn.functional


def known(kind, x, y, **kwargs):
    """The entry of a loss after one call was read, and the constant loss by ours."""
    losses, training = Losses(), Training(nn.Identity())
    original = getattr(F, kind)
    entry = losses.seen((kind, "train.py", 1), None, (x, y), kwargs)
    losses.read(entry, (x, y), kwargs, training)
    return entry, constant_loss(entry, original, training)


def best_constant(kind, y, outputs, **kwargs):
    """By descent: the lowest loss that one vector, the same for all samples, reaches."""
    guess = torch.zeros(outputs, requires_grad=True)
    search = torch.optim.LBFGS([guess], lr=0.5, max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        search.zero_grad()
        logits = guess.expand(len(y), outputs)
        value = getattr(F, kind)(logits.sigmoid() if kind == "binary_cross_entropy" else logits, y, **kwargs)
        value.backward()
        return value

    for _ in range(5):
        search.step(closure)
    return closure().item()


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("cross_entropy", {}),
        ("cross_entropy", {"label_smoothing": 0.1}),
        ("cross_entropy", {"weight": torch.tensor([1.0, 2.0, 8.0])}),
    ],
)
def test_of_classes_it_is_what_descent_finds(kind, kwargs):
    torch.manual_seed(0)
    y = torch.multinomial(torch.tensor([0.7, 0.2, 0.1]), 256, replacement=True)
    _, ours = known(kind, torch.randn(256, 3), y, **kwargs)
    # ours has the correction for the number of samples: (classes - 1) / 2n = 0.004
    assert ours == pytest.approx(best_constant(kind, y, 3, **kwargs), abs=0.006)


@pytest.mark.parametrize("kind", ["mse_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_of_numbers_it_is_what_descent_finds(kind):
    torch.manual_seed(0)
    y = torch.randn(200, 2) + 5 if kind == "mse_loss" else (torch.rand(200, 2) < 0.3).float()
    x = torch.rand(200, 2)
    _, ours = known(kind, x, y)
    assert ours == pytest.approx(best_constant(kind, y, 2), rel=1e-3)


@pytest.mark.parametrize("kind", ["l1_loss", "smooth_l1_loss", "huber_loss"])
def test_of_other_elementwise_losses_it_is_near(kind):
    torch.manual_seed(0)
    y = torch.randn(200, 1) * 3
    _, ours = known(kind, torch.randn(200, 1), y)
    assert ours == pytest.approx(best_constant(kind, y, 1), rel=0.02)


def test_more_classes_than_samples_is_at_most_the_logarithm_of_the_classes():
    _, ours = known("cross_entropy", torch.randn(64, 1000), torch.arange(64))
    assert ours == pytest.approx(torch.tensor(1000.0).log().item(), rel=0.4)
    assert ours <= torch.tensor(1000.0).log().item() + 1e-6


def test_ignored_labels_do_not_count():
    y = torch.tensor([0, 1, -100, -100])
    entry, ours = known("cross_entropy", torch.randn(4, 2), y)
    assert entry.facts["target_counts"] == [1, 1]
    assert entry.facts["extra"]["ignored"] == 0.5
    assert ours == pytest.approx(0.6931, abs=1e-3)


def test_weighted_binary_losses_and_odd_ones_have_no_reference():
    y = (torch.rand(64, 1) < 0.3).float()
    weighted = {"pos_weight": torch.tensor([3.0])}
    assert known("binary_cross_entropy_with_logits", torch.randn(64, 1), y, **weighted)[1] is None
    assert known("kl_div", torch.randn(64, 3), torch.rand(64, 3))[1] is None


def test_pictures_of_labels_are_read_at_some_of_their_points():
    x, y = torch.randn(4, 3, 32, 32), torch.randint(0, 3, (4, 32, 32))
    entry, _ = known("cross_entropy", x, y)
    assert entry.facts["classes"] == 3
    assert 200 <= sum(entry.facts["target_counts"]) <= 512


def test_probabilities_are_told_from_logits():
    y = torch.randint(0, 3, (32,))
    assert known("cross_entropy", torch.randn(32, 3), y)[0].facts["sums_to_one"] is False
    assert known("cross_entropy", torch.randn(32, 3).softmax(1), y)[0].facts["sums_to_one"] is True


def fit(loss_of, steps=8):
    net = nn.Linear(4, 3)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    with tw.watch() as watch:
        for _ in range(steps):
            x, y = torch.randn(16, 4), torch.randint(0, 3, (16,))
            loss = loss_of(net(x), y)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
    return watch.run()


def test_the_reference_of_a_summed_loss_is_of_the_sum():
    mean = fit(lambda x, y: F.cross_entropy(x, y))[signals.constant_loss].at()[1]
    total = fit(lambda x, y: F.cross_entropy(x, y, reduction="sum"))[signals.constant_loss].at()[1]
    assert total[-1] / mean[-1] == pytest.approx(16, rel=0.1)


def test_a_loss_of_several_terms_has_no_reference():
    run = fit(lambda x, y: F.cross_entropy(x, y) + 0.1 * x.square().mean())
    assert signals.constant_loss not in run
    assert len(run[signals.loss].steps) == 8


@pytest.mark.parametrize(
    ("formula", "kind", "shapes"),
    [
        (lambda p, y: ((p - y) ** 2).mean(), "squared difference", ([16, 1], [16])),
        (lambda p, y: (y - p).pow(2).sum() / 16, "squared difference", ([16, 1], [16])),
        (lambda p, y: (p - y).abs().mean(), "absolute difference", ([16, 1], [16])),
        (lambda p, y: ((p.squeeze(1) - y) ** 2).mean().sqrt(), "squared difference", ([16], [16])),
        (lambda p, y: ((p.squeeze(1) - y[:, None]) ** 2).mean(), "squared difference", ([16], [16, 1])),
    ],
)
def test_a_difference_written_by_hand_is_known_by_its_shapes(formula, kind, shapes):
    net = nn.Linear(4, 1)
    sgd = torch.optim.SGD(net.parameters(), lr=0.01)
    with tw.watch() as watch:
        for _ in range(3):
            loss = formula(net(torch.randn(16, 4)), torch.randn(16))
            sgd.zero_grad()
            loss.backward()
            sgd.step()
    (facts,) = watch.run().facts["losses"]
    assert (facts["kind"], (facts["input_shape"], facts["target_shape"])) == (kind, shapes)
    assert facts["site"]["file"] == __file__


def test_a_distance_between_two_predictions_is_no_difference_to_a_target():
    def contrast(x, y):
        return ((x[:, None] - x[None]) ** 2).mean()

    assert fit(contrast).facts["losses"] == []
