"""Secrets by name, by shape and by value; and what must stay readable."""

from __future__ import annotations

import pytest

from rlconf.redact import REDACTED, is_secret_name, known_secrets, redact, redact_text, secret_paths

# Put together here, so that no scanner of this repository takes one for real.
HF = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
HEX = "0123456789abcdef" * 2 + "01234567"
COMMIT = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"
SHAPES = [
    HF,
    HEX,
    "wandb_v1_" + "AbCdEfGh01234567890",
    "sk-" + "proj-abc123DEF456ghi789",
    "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2",
    "github_pat_" + "11ABCDEFG0abcdefghij_x",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "xoxb-" + "1234567890-abcdef",
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "eyJhbGciOiJIUzI1" + ".eyJzdWIiOiIxMjM0." + "SflKxwRJSMeKKF2QT4",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SHAPES, ids=lambda secret: secret[:8])
def test_a_secret_is_known_by_its_shape(secret):
    text = redact_text(f"cannot log in with {secret}, try again", {})
    assert text == f"cannot log in with {REDACTED}, try again"
    assert redact({"note": [secret]}, {}) == {"note": [REDACTED]}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization: Bearer abcdef.123456", "Authorization: Bearer <redacted>"),
        ("https://me:s3cret@host/x", "https://<redacted>@host/x"),
        ("https://0123456789abcdefgh@host/x", "https://<redacted>@host/x"),
        ("https://host/file?key=abc&size=3", "https://host/file?key=<redacted>&size=3"),
        ("trainer.hub_token=abc trainer.beta=1", "trainer.hub_token=<redacted> trainer.beta=1"),
        ("+reward.judge.api_key='a b' x", "+reward.judge.api_key='<redacted>' x"),
        ("rlconf: model.token='abc': expected", "rlconf: model.token='<redacted>': expected"),
        ("{'password': 'abc', 'n': 1}", "{'password': '<redacted>', 'n': 1}"),
        ('{"apiKey": "abc"}', '{"apiKey": "<redacted>"}'),
        ("password: hunter2", "password: <redacted>"),
        ("hub_token: abc\nseed: 0", "hub_token: <redacted>\nseed: 0"),
        ("+reward.judge={api_key:abc,n:1}", "+reward.judge={api_key:<redacted>,n:1}"),
        ("login --token abc --seed 3", "login --token <redacted> --seed 3"),
        ("AWS_SECRET_ACCESS_KEY=abc/def+1", "AWS_SECRET_ACCESS_KEY=<redacted>"),
    ],
)
def test_a_secret_is_known_by_its_name_or_place(text, kept):
    assert redact_text(text, {}) == kept
    assert redact_text(kept, {}) == kept


@pytest.mark.parametrize(
    "text",
    [
        "there is no pad token: set tokenizer.pad_token",
        "pad_token='<pad>' eos_token: <eos>",
        "model.max_prompt_tokens=1024",
        "num_tokens: 4096, tokens per second 3.5",
        f"model.revision={COMMIT}: no such commit",
        f"snapshots/{COMMIT}/config.json",
        f"at commit {COMMIT}",
        "https://huggingface.co/Qwen/Qwen2.5-1.5B",
        "git@github.com:a/b.git ssh://git@host/a",
        "task-arithmetic-level-3-of-many-levels",
        "the key word is: token by token",
        "a secret that nobody knows",
        "trainer.hub_token=null",
        "difference of keys: {'key': 3}",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact_text(text, {}) == text


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *[(name, True) for name in ("token", "hub_token", "HF_TOKEN", "accessToken", "a.b.token")],
        *[(name, True) for name in ("password", "db_passwd", "client_secret", "credentials")],
        *[(name, True) for name in ("api_key", "API-KEY", "WANDB_API_KEY", "--api-key")],
        *[(name, False) for name in ("pad_token", "eos_token_id", "max_prompt_tokens")],
        *[(name, False) for name in ("tokenizer", "key", "split_key", "keys", "", "monkey")],
        *[(name, False) for name in ("SECRETS_DIR", "CREDENTIALS_FILE", "token_count")],
    ],
)
def test_names(name, secret):
    assert is_secret_name(name) is secret


def test_data_keeps_its_form_and_is_not_changed_itself():
    data = {
        "trainer": {"hub_token": "abc", "beta": 0.1, "pad_token": "<pad>"},
        "nested": [{"api_key": "abc"}, ("x", 1)],
        "unset": {"token": None, "password": "", "api_key": False},
        "model": {"revision": COMMIT},
        "commit": {"id": COMMIT},
    }
    clean = redact(data, {})
    assert clean == data | {
        "trainer": {"hub_token": REDACTED, "beta": 0.1, "pad_token": "<pad>"},
        "nested": [{"api_key": REDACTED}, ("x", 1)],
    }
    assert data["trainer"]["hub_token"] == "abc"
    assert redact(clean, {}) == clean


def test_a_secret_below_a_secret_name_goes_whole():
    assert redact({"credentials": {"user": "me", "word": "abc"}}, {}) == {"credentials": REDACTED}


def test_a_command_line_is_a_list():
    line = ["rlconf", "--token", "abc", "trainer.hub_token=abc", "seed=1"]
    kept = ["rlconf", "--token", REDACTED, f"trainer.hub_token={REDACTED}", "seed=1"]
    assert redact(line, {}) == kept


def test_a_variable_of_the_environment_is_known_wherever_its_value_stands():
    environ = {"SERVICE_API_KEY": "no shape at all", "PATH": "/usr/bin", "X_TOKEN": "short"}
    environ["CLOUD_CREDENTIALS"] = "/home/me/key.json"  # a path is no secret
    assert known_secrets(environ) == ["no shape at all"]
    assert redact_text("said: no shape at all!", environ) == f"said: {REDACTED}!"
    assert redact({"name": "no shape at all"}, environ) == {"name": REDACTED}


def test_paths_of_secrets():
    data = {"hub_token": "a", "token": None, "init": {"api_key": "b", "n": 1}, "l": [{"token": 3}]}
    assert list(secret_paths(data)) == ["hub_token", "init.api_key", "l.0.token"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["a", "sk-", "eyJ-", "-", "'", "token", "token=", "://a:", "--key "]
)
def test_a_long_text_of_one_piece_takes_no_time(piece):
    redact_text(piece * (1_000_000 // len(piece)), {})
