import pytest

from .snippets import rules

BATCHES = """        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
"""


def epochs(schedule, head="", batch="", tail=""):
    inner = BATCHES + (f"            {batch}\n" if batch else "")
    return (
        f"schedule = {schedule}\ndef main(epochs):\n    for epoch in range(epochs):\n"
        + (f"        {head}\n" if head else "")
        + inner
        + (f"        {tail}\n" if tail else "")
    )


STEP = "schedule.step()"
SICK = {
    "before the epoch's batches": epochs("StepLR(optimizer, 30)", head=STEP),
    "before the batch's step": """
        schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            schedule.step()
            optimizer.step()
        """,
    "epochs, stepped a batch": epochs("CosineAnnealingLR(optimizer, T_max=epochs)", batch=STEP),
    "batches, stepped an epoch": epochs(
        "OneCycleLR(optimizer, 0.1, epochs=9, steps_per_epoch=len(loader))", tail=STEP
    ),
    "a product, stepped an epoch": epochs("CosineAnnealingLR(optimizer, 9 * len(loader))", tail=STEP),
}
HEALTHY = {
    "an epoch": epochs("CosineAnnealingLR(optimizer, T_max=epochs)", tail=STEP),
    "a batch": epochs("CosineAnnealingLR(optimizer, T_max=9 * len(loader))", batch=STEP),
    "one cycle": epochs("OneCycleLR(optimizer, 0.1, epochs=9, steps_per_epoch=len(loader))", batch=STEP),
    "of its own": epochs("Warmup(optimizer, 30)", head=STEP),
    "told the epoch": epochs("StepLR(optimizer, 30)", head="schedule.step(epoch)"),
    "after the first": epochs("StepLR(optimizer, 30)", head="if epoch: schedule.step()"),
    "on a plateau": epochs(
        "optim.lr_scheduler.ReduceLROnPlateau(optimizer)", tail="schedule.step(validate())"
    ),
    "of another optimiser": epochs("StepLR(other, 30)", head=STEP),
}


@pytest.mark.parametrize("text", SICK.values(), ids=SICK)
def test_it_is_found_in(text):
    assert rules(text) == ["schedule-mistimed"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(text) == []
