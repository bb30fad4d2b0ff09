"""Training loops of all kinds: nothing is changed by watching them, and what they do is found."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, TensorDataset

from trainwright import signals
from trainwright.observe import watching
from trainwright.observe.stop import StopCheck
from trainwright.signals import (
    epoch,
    grad_norm,
    learning_rate,
    leftover_grad,
    loss,
    update_ratio,
    valid_accuracy,
    valid_loss,
    weight_norm,
)

from .twice import text, twice


def small(last=3):
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, last))


def batches(count, classes=3):
    for _ in range(count):
        yield torch.randn(8, 4), torch.randint(0, classes, (8,))


def plain():
    net = nn.Sequential(
        nn.Linear(4, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(16, 3),
    )
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)
    steps = torch.optim.lr_scheduler.StepLR(adam, 1, gamma=0.5)
    criterion = nn.CrossEntropyLoss()
    data = TensorDataset(torch.randn(40, 4), torch.randint(0, 3, (40,)))
    train = DataLoader(data, batch_size=8, shuffle=True)
    valid = DataLoader(TensorDataset(torch.randn(16, 4), torch.randint(0, 3, (16,))), batch_size=8)
    for _ in range(3):
        net.train()
        for x, y in train:
            adam.zero_grad()
            criterion(net(x), y).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            adam.step()
        steps.step()
        net.eval()
        with torch.no_grad():
            for x, y in valid:
                criterion(net(x), y)
    return net


def test_a_plain_loop_is_understood_to_the_last_call():
    run = twice(plain)

    facts = run.facts
    assert facts["roots"] == ["Sequential"]
    assert text(facts["modules"][""]["site"]) == "net = nn.Sequential("
    assert text(facts["modules"]["1"]["site"]) == "nn.BatchNorm1d(16),"
    (optimizer,) = facts["optimizers"]
    assert (optimizer["type"], optimizer["scheduler"]) == ("Adam", "StepLR")
    assert text(optimizer["site"]).startswith("adam = torch.optim.Adam(")
    assert optimizer["zero_grad_calls"] == 15
    assert [(c["kind"], c["limit"], c["calls"]) for c in optimizer["clip"]] == [("norm", 0.5, 15)]
    assert text(optimizer["clip"][0]["site"]).startswith("nn.utils.clip_grad_norm_(")
    (known,) = facts["losses"]
    assert (known["kind"], known["reduction"], known["classes"]) == ("cross_entropy", "mean", 3)
    assert (known["input_shape"], known["target_shape"], known["input_from"]) == ([8, 3], [8], "linear")
    assert text(known["site"]) == "criterion(net(x), y).backward()"
    assert (facts["steps"], facts["backwards_per_step"]) == (15, 1)
    assert (facts["epochs"], facts["steps_per_epoch"], facts["batch_size"]) == (3, 5, 8)
    assert (facts["dataset_size"], facts["shuffled"]) == (40, True)
    assert (facts["eval_steps"], facts["eval_during_training"]) == (0, [])
    assert all(p["optimizer"] == 0 and p["got_gradient"] for p in facts["parameters"].values())
    assert list(run[epoch].values[:, 0]) == [1] * 5 + [2] * 5 + [3] * 5
    assert list(run[learning_rate].values[::5, 0]) == pytest.approx([1e-2, 5e-3, 2.5e-3])
    # Three passes: noted with the step that follows, the last at the end.
    assert list(run[valid_loss].steps) == list(run[valid_accuracy].steps) == [5, 10, 15]
    # No saturating function is here, and where every step is read none shows how long one takes.
    assert all(s in run for s in signals.ALL if s not in (signals.saturated_units, signals.step_time))


def test_the_recorded_loss_is_the_loss():
    seen = []

    def train():
        net = small()
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        seen.clear()
        for x, y in batches(12):
            sgd.zero_grad()
            loss = F.cross_entropy(net(x), y)
            seen.append(loss.item())
            loss.backward()
            sgd.step()
        return net

    run = twice(train)

    assert list(run[loss].values[:, 0]) == pytest.approx(seen, rel=1e-6)


class Trainer:
    """The way it is written in many repositories."""

    def __init__(self):
        self.model = small()
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=1e-3)
        self.criterion = nn.MultiMarginLoss()

    def train_step(self, x, y):
        self.optimizer.zero_grad(set_to_none=False)
        loss = self.criterion(self.model(x), y)
        loss.backward()
        self.optimizer.step()

    def fit(self):
        for x, y in batches(10):
            self.train_step(x, y)
        return self.model


def test_a_class_that_trains_is_understood():
    facts = twice(lambda: Trainer().fit()).facts

    assert facts["steps"] == 10
    assert text(facts["optimizers"][0]["site"]).startswith("self.optimizer = torch.optim.RMSprop(")
    assert facts["optimizers"][0]["zero_grad_calls"] == 10
    assert facts["losses"][0]["kind"] == "multi_margin_loss"
    assert text(facts["losses"][0]["site"]).startswith("loss = self.criterion(")


def gan():
    generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Sigmoid())
    of_critic = torch.optim.Adam(critic.parameters(), 2e-4)
    of_generator = torch.optim.Adam(generator.parameters(), 1e-4)
    bce = nn.BCELoss()
    for _ in range(10):
        critic.zero_grad()
        bce(critic(torch.randn(8, 2)), torch.ones(8, 1)).backward()
        fake = generator(torch.randn(8, 4))
        bce(critic(fake.detach()), torch.zeros(8, 1)).backward()
        of_critic.step()
        generator.zero_grad()
        bce(critic(fake), torch.ones(8, 1)).backward()
        of_generator.step()
    return generator, critic


def test_of_a_gan_both_models_both_optimisers_and_all_losses_are_found():
    run = twice(gan)

    facts = run.facts
    assert facts["roots"] == ["Sequential", "Sequential"]
    assert {name.split(".")[0] for name in facts["parameters"]} == {"generator", "critic"}
    assert [o["groups"][0]["lr"] for o in facts["optimizers"]] == [2e-4, 1e-4]
    assert {facts["parameters"][n]["optimizer"] for n in facts["parameters"] if n.startswith("critic")} == {0}
    assert (facts["steps"], facts["backwards_per_step"]) == (10, pytest.approx(3, abs=0.2))
    assert len(facts["losses"]) == 3
    assert all(known["input_from"] == "sigmoid" for known in facts["losses"])
    assert len(run[loss].places) == 3
    assert {p.split(".")[0] for p in run[grad_norm].places} == {"generator", "critic"}


def lbfgs():
    net = nn.Linear(4, 1)
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5)
    x = torch.randn(64, 4)
    y = x @ torch.randn(4, 1) + 0.1 * torch.randn(64, 1)

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        return loss

    for _ in range(6):
        optimizer.step(closure)
    return net


def test_a_closure_is_followed():
    run = twice(lbfgs)

    assert run.facts["steps"] == 6
    assert run.facts["optimizers"][0]["type"] == "LBFGS"
    assert run.facts["backwards_per_step"] > 2
    assert text(run.facts["losses"][0]["site"]) == "loss = F.mse_loss(net(x), y)"
    assert len(run[loss].steps) == 6
    assert run[loss].values[-1, 0] < run[loss].values[0, 0]
    assert len(run[grad_norm].steps) == 6


def accumulating(parts):
    def train():
        net = small(1)
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for i in range(8 * parts):
            x = torch.randn(8, 4)
            loss = F.mse_loss(net(x), x[:, :1] + 3) / parts
            loss.backward()
            if i % parts == parts - 1:
                sgd.step()
                sgd.zero_grad()
        return net

    return train


def test_accumulated_batches_make_one_step_and_the_undivided_loss_is_shown():
    run = twice(accumulating(4))

    assert (run.facts["steps"], run.facts["backwards_per_step"]) == (8, 4)
    assert run[loss].values[0, 0] > 5  # of targets around 3; a quarter of it would be 2.5
    assert run[signals.leftover_grad].values.max() == 0


def stepping_with(closure):
    """The same training, the gradient made by the script or by a closure that the optimiser is given."""

    def train():
        net = small()
        adam = torch.optim.Adam(net.parameters(), lr=0.01)
        for x, y in batches(8):

            def make(x=x, y=y):
                adam.zero_grad()
                loss = F.cross_entropy(net(x), y)
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 0.1)
                return loss

            if closure:
                adam.step(make)
            else:
                make()
                adam.step()
        return net

    return train


def test_with_a_closure_the_gradient_is_that_of_this_step():
    plain, closure = twice(stepping_with(False)), twice(stepping_with(True))

    for signal in (loss, grad_norm, update_ratio, weight_norm, leftover_grad):
        assert closure[signal].places == plain[signal].places
        assert (closure[signal].steps == plain[signal].steps).all()
        assert closure[signal].values == pytest.approx(plain[signal].values)


def summing(divide):
    """The loss of each batch is a sum, which the script divides by the number of targets that count, or
    not."""

    def train():
        net = small()
        sgd = torch.optim.SGD(net.parameters(), lr=0.001)
        criterion = nn.CrossEntropyLoss(reduction="sum")
        for x, y in batches(10):
            y[:2] = -100
            sgd.zero_grad()
            loss = criterion(net(x), y)
            (loss / 6 if divide else loss).backward()
            sgd.step()
        with torch.no_grad():
            for x, y in batches(3):
                criterion(net(x), y)
        return net

    return train


def test_a_sum_is_shown_as_the_script_has_it_beside_numbers_of_the_same_scale():
    divided, whole = twice(summing(divide=True)), twice(summing(divide=False))

    for run, scale in ((divided, 1), (whole, 6)):
        assert run[loss].values.mean() == pytest.approx(1.1 * scale, rel=0.2)
        assert run[valid_loss].values[0, 0] == pytest.approx(1.1 * scale, rel=0.2)
        assert run[signals.constant_loss].values[-1, 0] == pytest.approx(1.1 * scale, rel=0.2)
    ratio = whole[grad_norm].values[0] / divided[grad_norm].values[0]
    assert ratio == pytest.approx(6, rel=1e-5)
    outer = [run[signals.activation_grad].values[0, 0] for run in (whole, divided)]
    assert outer[0] / outer[1] == pytest.approx(6, rel=1e-5)


def manual():
    net = small(1)
    for _ in range(12):
        x = torch.randn(8, 4)
        net.zero_grad()
        F.smooth_l1_loss(net(x), x[:, :1]).backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.1 * p.grad
    return net


def test_weights_that_are_changed_by_hand_are_watched():
    run = twice(manual)

    facts = run.facts
    assert facts["optimizers"] == []
    assert facts["roots"] == ["Sequential"]
    assert text(facts["modules"]["0"]["site"]).startswith("return nn.Sequential(nn.Linear(4, 16)")
    assert facts["losses"][0]["kind"] == "smooth_l1_loss"
    assert facts["steps"] >= 11  # the last one is known to be a step only when another backward follows
    assert len(run[loss].steps) == 12
    assert set(run[grad_norm].places) == set(facts["parameters"])


def by_autograd_grad():
    net = small(1)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(10):
        x = torch.randn(8, 4)
        grads = torch.autograd.grad(F.mse_loss(net(x), x[:, :1]), list(net.parameters()))
        for p, g in zip(net.parameters(), grads, strict=True):
            p.grad = g
        sgd.step()
    return net


def test_gradients_from_autograd_grad_are_read_too():
    run = twice(by_autograd_grad)

    assert run.facts["steps"] == 10
    assert len(run[grad_norm].steps) == 10
    assert run.facts["losses"][0]["kind"] == "mse_loss"


def gradient_penalty():
    critic = small(1)
    adam = torch.optim.Adam(critic.parameters(), 1e-3)
    for _ in range(8):
        x = torch.randn(8, 4, requires_grad=True)
        score = critic(x)
        (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        loss = -score.mean() + 10 * ((slope.norm(dim=1) - 1) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return critic


def test_a_loss_of_the_users_own_that_differentiates_twice_is_followed():
    run = twice(gradient_penalty)

    assert (run.facts["steps"], len(run[loss].steps)) == (8, 8)
    assert run.facts["losses"] == []


def retained():
    net = small()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in batches(6):
        sgd.zero_grad()
        hidden = net[1](net[0](x))
        hidden.retain_grad()
        out = net[2](hidden)
        F.cross_entropy(out, y).backward(retain_graph=True)
        out.square().mean().backward()
        sgd.step()
    return net, hidden.grad


def test_several_backwards_through_one_graph_make_one_step():
    run = twice(retained)

    assert (run.facts["steps"], run.facts["backwards_per_step"]) == (6, 2)
    assert len(run[loss].places) == 2


def alternating():
    net = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 1)})
    one = torch.optim.SGD(net["a"].parameters(), lr=0.1)
    other = torch.optim.Adam(net["b"].parameters(), lr=0.01)
    for i in range(20):
        x = torch.randn(8, 4)
        loss = F.mse_loss(net["b"](torch.tanh(net["a"](x))), x[:, :1])
        turn = one if i % 2 else other
        turn.zero_grad()
        loss.backward()
        turn.step()
    return net


def test_optimisers_that_take_turns_are_both_followed():
    run = twice(alternating)

    assert [o["type"] for o in run.facts["optimizers"]] == ["SGD", "Adam"]
    assert run.facts["steps"] == 10  # one of the two counts them
    assert set(run[grad_norm].places) == {"a.weight", "a.bias", "b.weight", "b.bias"}
    assert {p["optimizer"] for p in run.facts["parameters"].values()} == {0, 1}


def three_in_turn():
    nets = [small(1) for _ in range(3)]
    adams = [torch.optim.Adam(net.parameters(), lr=1e-3) for net in nets]
    for _ in range(10):
        x = torch.randn(8, 4)
        for net, adam in zip(nets, adams, strict=True):
            adam.zero_grad()
            F.mse_loss(net(x), x[:, :1]).backward()
            adam.step()
    return nets


def test_three_optimisers_in_turn_are_one_step():
    run = twice(three_in_turn)

    assert (run.facts["steps"], run.facts["backwards_per_step"]) == (10, pytest.approx(3, abs=0.2))
    assert len(run.facts["roots"]) == 3


def critic_more_often():
    generator, critic = small(2), nn.Linear(2, 1)
    of_generator = torch.optim.RMSprop(generator.parameters(), lr=1e-3)
    of_critic = torch.optim.RMSprop(critic.parameters(), lr=1e-3)
    for i in range(20):
        of_critic.zero_grad()
        (critic(generator(torch.randn(8, 4)).detach()).mean() - critic(torch.randn(8, 2)).mean()).backward()
        of_critic.step()
        nn.utils.clip_grad_value_(critic.parameters(), 0.01)
        if i % 5 == 4:
            of_generator.zero_grad()
            (-critic(generator(torch.randn(8, 4))).mean()).backward()
            of_generator.step()
    return generator, critic


def test_one_optimiser_that_steps_more_often_counts_the_steps():
    run = twice(critic_more_often)

    assert run.facts["steps"] in (19, 20)
    assert run.facts["optimizers"][1]["clip"][0]["kind"] == "value"


def inside_backward():
    net = small()
    each = {p: torch.optim.SGD([p], lr=0.1) for p in net.parameters()}

    def step(p):
        each[p].step()
        each[p].zero_grad()

    for p in net.parameters():
        p.register_post_accumulate_grad_hook(step)
    for x, y in batches(8):
        F.cross_entropy(net(x), y).backward()
    return net


def test_optimisers_that_step_within_backward_do_no_harm():
    run = twice(inside_backward)

    assert len(run.facts["optimizers"]) == 4
    assert run.facts["steps"] in (7, 8)
    assert set(run[grad_norm].places) == {"0.weight", "0.bias", "2.weight", "2.bias"}


def folds():
    data = torch.randn(30, 4), torch.randint(0, 3, (30,))
    nets = []
    for fold in range(3):
        net = small()
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        held_out = torch.arange(30) % 3 == fold
        for _ in range(6):
            sgd.zero_grad()
            F.cross_entropy(net(data[0][~held_out]), data[1][~held_out]).backward()
            sgd.step()
            with torch.no_grad():
                F.cross_entropy(net(data[0][held_out]), data[1][held_out])
        nets.append(net)
    return nets


def test_each_fold_is_a_training_of_its_own():
    run = twice(folds)

    assert (run.facts["steps"], run.facts["restarts"]) == (18, [6, 12])
    assert len(run.facts["optimizers"]) == 1
    assert len(run[loss].steps) == 18
    assert "0.weight" in run.facts["parameters"]


def resumed():
    net = small()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for x, y in batches(5):
        sgd.zero_grad()
        F.cross_entropy(net(x), y).backward()
        sgd.step()
    kept = {k: v.clone() for k, v in net.state_dict().items()}, sgd.state_dict()
    net.load_state_dict(kept[0])
    sgd.load_state_dict(kept[1])
    for x, y in batches(5):
        sgd.zero_grad()
        F.cross_entropy(net(x), y).backward()
        sgd.step()
    return net


def test_a_loaded_state_is_noted():
    facts = twice(resumed).facts

    (loaded,) = facts["loaded"]
    assert (loaded["matched"], loaded["missing"], loaded["unexpected"]) == (4, [], [])
    assert text(loaded["site"]) == "net.load_state_dict(kept[0])"
    assert (facts["steps"], facts["restarts"]) == (10, [])


def test_what_was_built_before_watching_began_is_found():
    import trainwright as tw

    net = small()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    other = torch.optim.SGD(small().parameters(), lr=0.7)  # lies about, and is not used
    with tw.watch() as watch:
        for x, y in batches(5):
            sgd.zero_grad()
            F.cross_entropy(net(x), y).backward()
            sgd.step()
    facts = watch.run().facts

    assert other.param_groups[0]["lr"] == 0.7
    assert facts["steps"] == 5
    assert [o["groups"][0]["lr"] for o in facts["optimizers"]] == [0.1]
    assert facts["roots"] == ["Sequential"]
    assert facts["own_failures"] == []


def test_functions_that_were_imported_by_name_before_are_heard_of():
    def train():
        net = small()
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for x, y in batches(5):
            sgd.zero_grad()
            cross_entropy(net(x), y).backward()
            clip_grad_norm_(net.parameters(), 1.0)
            sgd.step()
        return net

    before = cross_entropy, clip_grad_norm_
    facts = twice(train).facts

    assert facts["losses"][0]["kind"] == "cross_entropy"
    assert facts["optimizers"][0]["clip"][0]["calls"] == 5
    assert (cross_entropy, clip_grad_norm_) == before


@pytest.mark.parametrize("overhead", [0, 0.02, 0.5])
def test_no_budget_changes_a_run(overhead):
    run = twice(plain, overhead=overhead)

    assert run.facts["steps"] == 15
    assert len(run[loss].steps) == 15


@pytest.mark.parametrize("train", [manual, plain, lbfgs], ids=lambda f: f.__name__)
def test_check_stops_any_loop(train):
    session = watching.Session(None, overhead=0.02, stop_after=4, eager_probe=False, say=pytest.fail)
    session.attach()
    try:
        with pytest.raises(StopCheck):
            train()
    finally:
        run = session.finish()

    assert run.facts["steps"] == 4
    assert run.facts["stopped_by"] == "check"
