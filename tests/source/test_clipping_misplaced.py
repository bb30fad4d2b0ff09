import pytest

from .snippets import rules

SICK = {
    "after the step": """
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        """,
    "before backward": """
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            nn.utils.clip_grad_value_(model.parameters(), 0.5)
            loss.backward()
            optimizer.step()
        """,
    "in a function": """
        from torch.nn.utils import clip_grad_norm_
        def train(net, opt):
            for x, y in loader:
                opt.zero_grad()
                criterion(net(x), y).backward()
                opt.step()
                clip_grad_norm_(net.parameters(), 1.0)
        """,
    "before unscaling": """
        scaler = torch.amp.GradScaler("cuda")
        for x, y in loader:
            optimizer.zero_grad()
            scaler.scale(criterion(model(x), y)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        """,
    "never unscaled, while accumulating": """
        scaler = torch.cuda.amp.GradScaler()
        for i, (x, y) in enumerate(loader):
            scaler.scale(criterion(model(x), y)).backward()
            if i % 4 == 3:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
        """,
}
HEALTHY = {
    "between": """
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        """,
    "while accumulating": """
        for i, (x, y) in enumerate(loader):
            criterion(model(x), y).backward()
            if i % 4 == 3:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
        """,
    "if asked for": """
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
        """,
    "unscaled first": """
        scaler = torch.amp.GradScaler()
        for x, y in loader:
            optimizer.zero_grad()
            scaler.scale(criterion(model(x), y)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
        """,
    "a scaler that is off": """
        scaler = torch.amp.GradScaler(enabled=False)
        for x, y in loader:
            optimizer.zero_grad()
            scaler.scale(criterion(model(x), y)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
        """,
    "the other net's": """
        opt_d = optim.Adam(critic.parameters())
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
            opt_d.zero_grad()
            critic(x).mean().backward()
            nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
            opt_d.step()
        """,
    "as a critic's weights are clamped": """
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
            for p in model.parameters():
                p.data.clamp_(-0.01, 0.01)
        """,
}


@pytest.mark.parametrize("text", SICK.values(), ids=SICK)
def test_it_is_found_in(text):
    assert rules(text) == ["clipping-misplaced"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(text) == []
