"""No secret that a script is given or that stands in its lines reaches a file; all else stays readable."""

import os
import string
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.observe.redact import HIDDEN, redact_argv, redact_text
from trainwright.observe.store import Writer, load

BASE62 = string.ascii_letters + string.digits


def noise(length: int, alphabet: str = BASE62) -> st.SearchStrategy[str]:
    """Random letters: `randoms` and not `text`, which prefers strings that are anything but."""
    return st.randoms(use_true_random=False).map(lambda r: "".join(r.choices(alphabet, k=length)))


def prefixed(prefix: str, length: int) -> st.SearchStrategy[str]:
    return noise(length).map(lambda tail: f"{prefix}{tail}1")


ISSUED = st.one_of(
    prefixed("hf_", 34),
    prefixed("sk-", 40),
    prefixed("sk-proj-", 60),
    prefixed("sk_live_", 24),
    prefixed("ghp_", 36),
    prefixed("github_pat_", 60),
    prefixed("glpat-", 20),
    prefixed("xoxb-", 40),
    prefixed("npm_", 36),
    prefixed("AIza", 35),
    noise(16, string.ascii_uppercase + string.digits).map("AKIA{}".format),
    noise(20).map("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0{0}.{0}".format),
    noise(40, "0123456789abcdef"),
)
NAMES = (
    "--api-key --api_key --apikey --token --hf-token --auth-token --password --db_password --passwd --secret "
    "--client-secret --wandb-key --aws-secret-access-key --key --credentials"
).split()
ANYTHING = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=6, max_size=30
).filter(lambda s: any(map(str.isalnum, s)) and s[0] not in "-<[" and not s.isdecimal() and "*" not in s)


@given(secret=ANYTHING, name=st.sampled_from(NAMES))
def test_an_argument_with_a_telling_name_is_hidden_whatever_it_is(secret, name):
    bare = name.lstrip("-")
    for argv in ([name, secret], [f"{name}={secret}"], [f"trainer.{bare}={secret}"] * (bare != "key")):
        clean = redact_argv(["train.py", *argv, "--lr", "0.1"])
        assert secret not in " ".join(clean)
        assert [clean[0], *clean[-2:]] == ["train.py", "--lr", "0.1"]
        assert redact_argv(clean) == clean


@pytest.mark.parametrize(
    "form",
    [
        "{name}={secret}",
        "export {name}={secret}",
        "{name}: {secret}",
        "os.environ['{name}'] = '{secret}'",
        'os.environ.setdefault("{name}", "{secret}")',
        '{{"{name}": "{secret}", "lr": 0.1}}',
        "login({name}='{secret}', lr=1)",
        '{name}: str = "{secret}"',
        'if {name} == "{secret}":',
        "python train.py --{name} {secret} --lr 0.1",
        "python train.py '--{name}={secret}' --lr 0.1",
        "https://host/path?{name}={secret}&lr=1",
        "config: {name}={secret}",
        'x: "{name}={secret} b"',
    ],
)
@given(
    name=st.sampled_from(
        ["WANDB_API_KEY", "api_key", "HF_TOKEN", "password", "db_password", "CLIENT_SECRET"]
    ),
    secret=st.text(BASE62 + "!$%#+/-_", min_size=6, max_size=20).filter(
        lambda s: s[0].isalpha() and not s.isalpha()
    ),
)
def test_a_line_that_names_a_secret_does_not_tell_it(form, name, secret):
    if not any(c.isdigit() for c in secret):
        secret += "7x"
    clean = redact_text(form.format(name=name, secret=secret))
    assert secret not in clean
    assert HIDDEN in clean
    assert name in clean
    assert redact_text(clean) == clean


@given(
    secret=ISSUED,
    around=st.sampled_from(["{}", "login('{}')", "x = {}", "use {}, please", "https://{}@host/x"]),
)
def test_what_an_issuer_shaped_is_hidden_without_a_name(secret, around):
    assert secret not in redact_text(around.format(secret))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgres://me:hunter2@host/db", "postgres://me:***@host/db"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer ***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n", "***\n"),
        ('api_key = f"{prefix}hunter2"', 'api_key = f"***"'),
        ("password = ''", "password = ''"),
    ],
)
def test_examples(text, clean):
    assert redact_text(text) == clean


def test_random_strings_are_hidden_and_hardly_any_is_missed():
    import random

    rng = random.Random(0)
    missed = sum(redact_text("".join(rng.choices(BASE62, k=40))) != HIDDEN for _ in range(1000))
    assert missed <= 10


ARGUMENTS = r"""
--lr=3e-4 --weight-decay 0.1 --betas 0.9 0.999 --seed 0xDEADBEEFDEADBEEF12345678 --seed 1234567890123456789
--max-tokens 512 --tokens-per-batch 65536 --pad-token <pad> --token-dim 64 --num_tokens=50257 --key-dim 64
--sort-key loss --label-key label --tokenizer gpt2 --tokenizer=bert-base --password-file secrets/db.txt
/home/user/projects/resnet50_cifar10_lr0.1_bs128/checkpoints/epoch_12.ckpt ../data/ImageNet2012/train
/root/.cache/hub/models--gpt2/snapshots/607a30d783dfa663caf39e06633721c8d4cfcd7e/model.safetensors
/nix/store/7ys4bhqzxgsp0q1v3x7mxd2qkgz4c9fj-python3-3.11/lib/python3.11/site-packages/torch/nn/modules/linear.py
C:\Users\me\AppData\Local\Temp\train.py runs/20260131-120000-train/rank0.sqlite /tmp/tmpAb3xK9_q/train.py
--revision 607a30d783dfa663caf39e06633721c8d4cfcd7e --run-id 3f2504e0-4f89-41d3-9a0c-0305e82c3301
encoder.layers.11.self_attn.in_proj_weight model.layers.0.attention.self.key.weight cls_token mask_token
MultiHeadSelfAttention2DWithRotaryEmbedding QuantizedConvAddReLU2d BertForSequenceClassification
_TestParamsMaxPool1d vit_base_patch16_224.augreg2_in21k_ft_in1k resnet50_lr3e-4_bs128_wd1e-2_seed42_v2
2.13.0+cu126 0.9999999999999999 1e-08 2026-01-31T12:00:00Z float32[128,3,224,224]
""".strip().splitlines()
LINES = """
self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
token = tokenizer.decode(ids[0]); for token in tokens: counts[token] += 1
x = sorted(items, key=lambda x: x[1]); best = max(scores, key=scores.get)
rng = jax.random.PRNGKey(0); key, subkey = jax.random.split(key)
def login(token: str, password: Optional[str] = None) -> None:
self.password = args.password; token=os.environ["HF_TOKEN"]; api_key=config.api_key
k = self.key(x); query, key, value = qkv.chunk(3, dim=-1)
KeyError: 'token' RuntimeError: mat1 and mat2 shapes cannot be multiplied (64x784 and 512x10)
""".strip().splitlines()


@pytest.mark.parametrize("line", ARGUMENTS + LINES)
def test_what_is_no_secret_stays_as_it_is(line):
    assert redact_text(line) == line


@pytest.mark.parametrize("line", ARGUMENTS)
def test_arguments_that_are_no_secrets_stay_as_they_are(line):
    assert redact_argv(line.split()) == line.split()


def test_the_lines_of_torch_stay_as_they_are():
    """Of the code of a third of all layers not one line is touched."""
    import torch

    files = sorted(Path(torch.__file__).parent.joinpath("nn", "modules").glob("*.py"))[::3]
    lines = [line for f in files for line in f.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 4_000
    assert [line for line in lines if redact_text(line) != line] == []


@pytest.mark.parametrize(
    "bit",
    [
        "a: ",
        "token=",
        "'a=",
        "/",
        "aB1",
        "-a ",
        "://a:",
        "key=",
        "x: y=",
        '"a_b",',
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_a_huge_message_takes_no_time(bit):
    import time

    begun = time.thread_time()
    redact_text(bit * (20_000 // len(bit)))
    assert time.thread_time() - begun < 1


def planted(secret: str) -> dict[str, Any]:
    """Facts with the secret wherever a user's text can get into them."""
    line = f'wandb.login("{secret}")'
    return {
        "script": f"train.py {secret}",
        "argv": ["--lr", "0.1", "--api-key", secret, f"--token={secret}", secret],
        "command": f"torchrun train.py --password {secret}",
        "exception": f"ConnectionError: https://me:{secret}@host said no to {secret}",
        "given_up": [line],
        "optimizers": [{"type": "Adam", "groups": [{"lr": 0.1, "name": secret}], "password": secret}],
        "loaded": [
            {
                "module": "",
                "site": {"file": f"{secret}.py", "line": 1},
                "missing": (secret,),
                "x": {"y": line},
            }
        ],
        "modules": {secret: {"type": "Linear", "site": None, "children": 0, "activation": None}},
        "sources": {f"{secret}.py": {"1": line, "2": f"    api_key='{secret}',"}},
        "own_failures": [{"where": "loss", "error": repr(ValueError(secret))}],
        "steps": 3,
    }


@given(secret=ISSUED)
def test_a_planted_secret_is_in_no_byte_of_any_file(secret):
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with closing(Writer(folder / "rank0.sqlite")) as writer:
            for n in range(2):
                writer.set_facts(planted(secret) | {"steps": n})  # type: ignore[arg-type]
                writer.add("loss", [n], (secret,), [[1.0]])
                writer.flush()
                assert secret not in repr(writer.run())
            assert len(list(folder.iterdir())) == 3, "record, log and its index"
            assert not [f for f in folder.iterdir() if secret.encode() in f.read_bytes()]
        assert not [f for f in folder.iterdir() if secret.encode() in f.read_bytes()]
        run = load(folder)
    assert run.facts["argv"] == ["--lr", "0.1", "--api-key", HIDDEN, f"--token={HIDDEN}", HIDDEN]
    assert set(run.facts["modules"]) == set(run.series["loss"].places)


def test_a_secret_that_only_its_name_tells_is_hidden_wherever_facts_hold_it():
    secret = "horse"
    facts = {
        "argv": ["--api-key", secret, f"--password={secret}"],
        "command": f"train.py --api-key {secret}",
        "optimizers": [{"groups": [{"password": secret, "lr": 0.1}], "args": ("--token", secret)}],
        "sources": {"train.py": {"7": f"login(password='{secret}')"}},
    }
    with closing(Writer(None)) as writer:
        writer.set_facts(facts)  # type: ignore[arg-type]
        stored = writer.run().facts
    assert secret not in repr(stored)
    assert stored["sources"] == {"train.py": {"7": "login(password='***')"}}


def test_nothing_of_the_environment_is_in_any_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_SETTING", "plainvalueoftheenvironment")
    with closing(Writer(tmp_path / "rank0.sqlite")) as writer:
        writer.set_facts(planted("x"))  # type: ignore[arg-type]
        writer.flush()
        stored = b"".join(f.read_bytes() for f in tmp_path.iterdir())
    assert b"plainvalueoftheenvironment" not in stored
    assert b"MY_SETTING" not in stored
    assert os.environ["MY_SETTING"]
