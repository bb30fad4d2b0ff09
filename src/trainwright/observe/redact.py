"""What looks like a key, a token or a password becomes `***` before anything is written.

Three things give a secret away: the name it is given (`--api-key`, `HF_TOKEN=`, `password: `), the shape
its issuer gave it (`hf_...`, `AKIA...`, a JWT), or that it reads like noise. Doubt is settled for the
secret after a name and for the text elsewhere: a report whose file names and hyper-parameters are stars
helps nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "***"


def redact_argv(argv: Sequence[str]) -> list[str]:
    """The arguments of a command, without the secrets among them.

    >>> redact_argv(["train.py", "--lr", "0.1", "--api-key", "a b", "--token=x,y", "wandb.password=z"])
    ['train.py', '--lr', '0.1', '--api-key', '***', '--token=***', 'wandb.password=***']
    """
    clean: list[str] = []
    flag = ""
    for arg in argv:
        name, equals, value = arg.partition("=")
        if flag and not arg.startswith("--") and _hides(flag, arg):
            clean.append(HIDDEN)
        elif _HEX.fullmatch(arg) and _HASHED.search(f"{flag} "):
            clean.append(arg)
        elif equals and re.fullmatch(r"[-+~]*[\w.\-/@]+", name) and _hides(name, value):
            clean.append(f"{name}={HIDDEN}")
        else:
            clean.append(redact_text(arg))
        flag = arg if arg.startswith("-") and not equals else ""
    return clean


def redact_text(text: str) -> str:
    """A line of code, a message or a command, without the secrets in it.

    >>> redact_text('wandb.init(project="digits", api_key="hunter2"); cls_token = nn.Parameter(x)')
    'wandb.init(project="digits", api_key="***"); cls_token = nn.Parameter(x)'
    """
    text = _PRIVATE_KEY.sub(HIDDEN, text)
    text = _IN_URL.sub(rf"\1{HIDDEN}@", text)
    text = _BEARER.sub(rf"\1{HIDDEN}", text)
    text = _ISSUED.sub(HIDDEN, text)
    for before, value in _NAMED:
        text = _without_values(text, before, value)
    return _WORD.sub(_without_noise, text)


def redact_named(name: str, value: str) -> str:
    """A value without the secrets in it, or without any of it if its name says that it is one."""
    return HIDDEN if _hides(name, value) else redact_text(value)


# By their issuers' own descriptions of what a key looks like.
_ISSUED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"hf_[A-Za-z0-9]{16,}|(?:sk|pk|rk)[-_](?=[\w-]*\d)[\w-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
    r"|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{8,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{30,}|ya29\.[\w-]{16,}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}|SG\.[\w-]{16,}\.[\w-]{16,}|gsk_\w{20,}|r8_\w{20,}|nvapi-[\w-]{20,}"
    r"|wandb_v1_\w{16,}|lsv2_\w{16,}|dop_v1_\w{16,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S
)
_IN_URL = re.compile(r"(://(?:[^\s/:@\"']*:)?)[^\s/@\"']+@")
_BEARER = re.compile(r"(?i)(\bbearer\s+|\bauthorization[\"']?\s*:\s*[\"']?\w+\s+)[^\s\"',]{8,}")

_NAME = r"(?P<name>[A-Za-z_][\w.\-]*)"
_QUOTED = (
    r"(?P<open>[rbfuRBFU]{0,2}(?P<quote>\"\"\"|'''|\"|'))"
    r"(?P<inside>(?:\\.|(?!(?P=quote))[^\\])*)(?P<close>(?P=quote)|\Z)"
)
_VALUE = re.compile(rf"{_QUOTED}|[^\s\"'&]*[^\s\"'&,;)\]}}]", re.S)
_TYPE = r":\s*[\w.\[\]| ]{1,60}?\s*="
_NAMED = [  # what stands before a value, and the value
    *(
        (re.compile(rf"{q}-*{_NAME}[=:] ?"), re.compile(rf"[^{q}]+(?={q})")) for q in "\"'"
    ),  # '--password=a b'
    (re.compile(rf"(?<![\w-])--?{_NAME}(?:\s+|=)(?!--)"), _VALUE),  # --password a
    (
        re.compile(rf"(?<![\w.-]){_NAME}[\"']?\]?\s*(?:{_TYPE}|==|!=|:=|=|:(?!:))\s*"),
        _VALUE,
    ),  # password: str = "a"
    (  # setdefault("password", "a"); `"token", "try"` is a list of words
        re.compile(rf"[\"'](?=\w+[_-]|\w*(?i:passw|secret|credential)){_NAME}[\"'],\s*"),
        re.compile(_QUOTED, re.S),
    ),
]


def _without_values(text: str, before: re.Pattern[str], value: re.Pattern[str]) -> str:
    """The text without those values that are secrets.

    Not by `re.sub`: in `config: password=a` it would take the second pair for the first one's value.
    """
    parts: list[str] = []
    at = kept = 0
    while found := before.search(text, at):
        at = found.end("name")
        name = f"-{found['name']}" if found[0].startswith("-") else found["name"]
        start = value.match(text, found.end(), found.end() + _ENOUGH) if _suspicion(name) else None
        if start is None or not _tells(name, start):
            continue
        given = value.match(text, found.end()) or start
        quoted = given.groupdict().get("quote")
        parts += text[kept : found.end()], f"{given['open']}{HIDDEN}{given['close']}" if quoted else HIDDEN
        at = kept = given.end()
    return "".join(parts) + text[kept:]


_ENOUGH = 300
"""Characters of a value from which one sees what it is: without a limit, a long text takes quadratic time."""


def _tells(name: str, given: re.Match[str]) -> bool:
    """Whether the value that was found behind a name is a secret."""
    if given.groupdict().get("quote"):
        inside = given["inside"]
        return _hides(name, re.sub(r"\{[^}]*\}", "", inside) if "f" in given["open"].lower() else inside)
    code = given.re is _VALUE and not name.startswith("-") and _is_code(name, given[0])
    return _hides(name, given[0]) and not code


_ALWAYS = set(
    "password passwd passwords pwd passphrase passcode secret secrets apikey accesskey secretkey "
    "privatekey authtoken accesstoken credential credentials authorization".split()
)
_KEYS = set(  # words before "key" that make it one that opens something
    "api access secret private auth account encryption signing ssh license service subscription app "
    "client master rsa gpg deploy storage shared wandb openai anthropic comet neptune hf aws azure gcp "
    "google mlflow".split()
)
_LOGINS = set(  # ... before "pass"
    "db user smtp mysql postgres pg redis mongo ftp admin root login mail".split()
)
_LANGUAGE = set(  # words before "token" that make it a piece of text, not a permission
    "cls pad eos bos sep mask unk special stop start end first last next prev per each image img text "
    "patch query class distill distillation register reg num n max min new prompt vision audio video "
    "sot eot sos decoder encoder input output target source blank fim prefix suffix control null mem "
    "memory word sub bpe ignore oov current top".split()
)
_WORDS = re.compile(r"[_.\-/@+~]+|(?<=[a-z0-9])(?=[A-Z])")


def _suspicion(name: str) -> int:
    """How much a name tells of its value: 0 nothing, 1 perhaps a key, 2 a token, 3 a secret."""
    words = [w.lower() for w in _WORDS.split(name) if w]
    last = words[-1].rstrip("0123456789") if words else ""
    before = words[-2] if len(words) > 1 else ""
    if (
        last in _ALWAYS
        or last.endswith(("apikey", "password", "passwd"))
        or name.lstrip("-") == "key" != name
    ):
        return 3
    if last == "token":
        return 0 if before in _LANGUAGE else 2
    if (last == "key" and before in _KEYS) or (last == "pass" and before in _LOGINS):
        return 3
    return int(last in {"key", "auth", "sig", "signature"})


def _hides(name: str, value: str) -> bool:
    """Whether what has this name is a secret, given the value."""
    suspicion = _suspicion(name)
    if suspicion < 2:
        return suspicion == 1 and _KEYLIKE.search(value) is not None
    if value.strip("*<>[]{}()|/\\ ").lower() in _NOTHING or not re.search(r"\w", value):
        return False
    return suspicion == 3 or not re.fullmatch(r"\d{1,7}|<.*>|\[.*\]", value)


_NOTHING = set(" none null true false yes no str int float bool bytes object any bearer basic".split(" "))
_KEYLIKE = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{16,}|%[0-9A-F]{2}")
_SETTINGS = (
    "self cls args cfg config conf os opt opts FLAGS hparams params parser settings env environ".split()
)
_CALL = re.compile(rf"[A-Za-z_][\w.]*[(\[]|(?:{'|'.join(_SETTINGS)})\.[A-Za-z_]")


def _is_code(name: str, value: str) -> bool:
    """Whether an unquoted value is an expression of the program and not the secret itself."""
    if _CALL.match(value) or re.search(r"(?i)(?:password|secret|token|key)$", value):
        return True
    # `token` and `storage_key` are also what code calls its variables; in capitals they are settings.
    plain = re.fullmatch(r"[^\d]+|.{1,5}|b?float\d+|u?int\d+", value)
    return bool(plain) and name.lower().endswith(("token", "key")) and not name.isupper()


_WORD = re.compile(r"[^\s\"'`,;:()<>{}\[\]|]{20,}")
_PATH = re.compile(r"[.~]{0,2}/|[A-Za-z]:\\|.*/[\w.-]*\.[a-z]\w{0,4}$")
_NOISE = re.compile(r"[A-Za-z0-9_+-]{20,}={0,2}")
_HEX = re.compile(r"-?0[xX][0-9A-Fa-f]+|[0-9a-f]+|[0-9A-F]+|[0-9a-f-]{36}")
_HASHED = re.compile(
    r"(?i)(?<![A-Za-z])(?:revision|commit|sha\d*|hash|md5|checksum|digest|seed|uuid|id)_*"
    r"(?:[\"']?\s*[=:]\s*|\s+)[\"']?$"
)


def _without_noise(found: re.Match[str]) -> str:
    def star(noise: re.Match[str]) -> str:
        start = found.start() + noise.start()
        named = _HEX.fullmatch(noise[0]) and _HASHED.search(found.string[max(0, start - 40) : start])
        return HIDDEN if _is_noise(noise[0]) and not named else noise[0]

    return found[0] if _PATH.match(found[0]) else _NOISE.sub(star, found[0])


def _is_noise(word: str) -> bool:
    """Whether letters and digits alternate as only a random string does.

    Of two neighbours in random letters and digits 45 % change class (without a capital that starts a word),
    and few stand in what could be a word; in names of classes and experiments it is the other way
    round. Hexadecimal is left alone (seeds, ids, commits) unless it has the 40 or 64 digits that
    several issuers use.
    """
    if _HEX.fullmatch(word):
        return len(word) in (40, 64) and not word.isdigit()
    changes = len(re.findall(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Za-z])|(?<=[A-Z])(?=[0-9])", word))
    classes = sum(bool(re.search(c, word)) for c in ("[a-z]", "[A-Z]", "[0-9]"))
    words = sum(map(len, re.findall("[A-Z]?[a-z]{3,}|[A-Z]{4,}", word)))
    if classes == 3:
        like_a_name = words >= 0.62 * len(word) or (len(word) < 28 and len(re.findall("[0-9]", word)) == 1)
        return changes >= (0.34 if like_a_name else 0.22) * len(word)
    return len(word) >= 28 and changes >= 0.3 * len(word)
