"""A configuration imports no code and passes no secret on, whatever way it is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rewards.errors import ConfigError
from rlconf.redact import REDACTED
from rlconf.settings import compose, tree, trust
from rlconf.settings.schema import Config, ModelSection, to_dict

SECRET = "a-canary-without-a-shape"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", SECRET)


def recorded(folder: Path, **changes: dict) -> Path:
    """A recorded configuration with some of its entries changed, by section."""
    values = to_dict(compose.compose([]))
    for section, entries in changes.items():
        values[section] = {**values[section], **entries}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    "override",
    [
        "task._target_=os.system",
        "+reward.exact._target_=builtins.eval",
        "model.tiny._target_=x",
        "trainer.model_init_kwargs={a:[{_target_:os.system,_args_:[ls]}]}",
        "_target_=os.system",
        "run={_target_:os.system}",
    ],
)
def test_an_override_names_no_code(override):
    with pytest.raises(ConfigError, match=r"_target_: a configuration cannot name code to import"):
        compose.compose(["reward=[exact]", override])


def test_a_recorded_configuration_names_no_code(tmp_path):
    path = recorded(tmp_path, task={"_target_": "os.system"})
    for read in (compose.load, lambda base: compose.compose(base=base)):
        with pytest.raises(ConfigError, match=r"task\._target_: a configuration cannot name code"):
            read(path)


def test_yaml_calls_no_python(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"name: !!python/object/apply:os.mkdir [{tmp_path}/made]\n")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        compose.load(path)
    assert not (tmp_path / "made").exists()


def test_no_shipped_file_names_code_or_trusts_the_models():
    for path in tree.CONF.rglob("*.yaml"):
        values = yaml.safe_load(path.read_text()) or {}
        assert not trust.code_named(values)
        assert "trust_remote_code: true" not in path.read_text()


def test_a_secret_is_not_passed_on_to_what_is_shown():
    with pytest.raises(ConfigError, match="name holds a secret of the environment") as caught:
        compose.compose(["name='x-${oc.env:JUDGE_API_KEY}'"])
    assert SECRET not in str(caught.value)


def test_a_secret_in_the_trainers_settings_is_refused():
    """Hugging Face pickles them into every checkpoint."""
    for override in ("trainer.hub_token=abcd", "trainer.generation_kwargs={token:abcd}"):
        key = override.replace("={token", ".token").partition(":")[0].partition("=")[0]
        with pytest.raises(ConfigError, match=rf"{key}: .*HF_TOKEN") as caught:
            compose.compose([override])
        assert "abcd" not in str(caught.value)


def test_a_secret_of_the_environment_is_recorded_as_a_reference(tmp_path, monkeypatch):
    config = compose.compose([])
    config.model.tiny = {"api_key": SECRET, "password": "typed"}
    path = tmp_path / "config.yaml"
    compose.save(config, path)
    assert yaml.safe_load(path.read_text())["model"]["tiny"] == {
        "api_key": "${oc.env:JUDGE_API_KEY}",
        "password": REDACTED,
    }
    assert compose.load(path).model.tiny["api_key"] == SECRET

    monkeypatch.delenv("JUDGE_API_KEY")
    with pytest.raises(ConfigError, match="variable 'JUDGE_API_KEY' not found"):
        compose.load(path)


def test_a_redacted_value_has_to_be_given_again(tmp_path):
    base = recorded(tmp_path, model={"revision": REDACTED})
    with pytest.raises(ConfigError, match=r"model\.revision: .* give it again, model\.revision="):
        compose.compose(base=base)
    assert compose.compose(["model.revision=main"], base=base).model.revision == "main"


def test_a_recorded_run_does_not_decide_that_code_is_trusted(tmp_path):
    base = recorded(tmp_path, model={"trust_remote_code": True})
    with pytest.raises(ConfigError, match=r"if you trust it, add model\.trust_remote_code=true"):
        compose.compose(base=base)
    config = compose.compose(["model.trust_remote_code=true"], base=base)
    assert trust.warnings(config) == [
        "model.trust_remote_code=true: Python files that come with the model run with your rights."
    ]


def test_nothing_is_trusted_by_default():
    assert not ModelSection().trust_remote_code
    assert trust.warnings(Config()) == []
