"""From overrides to a checked configuration."""

from pathlib import Path

import pytest

from rewards.errors import ConfigError
from rlconf.settings.compose import compose, composed, load, save
from rlconf.settings.schema import Config


def message(*overrides: str, **kwargs) -> str:
    with pytest.raises(ConfigError) as error:
        compose(overrides, **kwargs)
    return str(error.value)


def test_nothing_chosen_is_plain_grpo_with_the_tiny_model():
    config = compose()
    assert config.shaper == {}
    assert config.model.name == "tiny"
    assert config.trainer["method"] == "grpo"
    assert config.reward == {}  # the task's own


def test_quickstart_adds_ucas_and_nothing_else_of_weight():
    plain, quick = compose(), compose(["experiment=quickstart"])
    assert list(quick.shaper) == ["ucas"]
    assert quick.shaper["ucas"]["beta"] == 0.01
    same = {k: v for k, v in quick.trainer.items() if k in plain.trainer}
    assert same == plain.trainer


def test_a_setting_beats_an_experiment_and_an_experiment_beats_the_defaults():
    assert compose(["experiment=quickstart"]).name == "quickstart"
    assert compose(["experiment=quickstart", "name=mine"]).name == "mine"
    assert compose(["name=mine", "experiment=quickstart"]).name == "mine"
    assert compose(["experiment=quickstart", "shaper=[]"]).shaper == {}


def test_the_model_brings_its_recipe():
    tiny, hub = compose(), compose(["model.path=some/model"])
    assert tiny.trainer["learning_rate"] == 1e-3
    assert "learning_rate" not in hub.trainer  # TRL's own, for real models
    assert (hub.model.name, hub.model.path) == (None, "some/model")


def test_presets_fill_the_same_section():
    paper = compose(["shaper=[ucas]"]).shaper["ucas"]
    release = compose(["shaper=[ucas_release]"]).shaper["ucas"]
    changed = {key for key in paper if paper[key] != release[key]}
    assert changed == {
        "alpha_neg",
        "beta",
        "confidence",
        "logit_norm",
        "clamp_positive",
        "zero_variance",
    }


def test_an_unknown_key_gets_the_nearest_name_with_and_without_plus():
    for plus in ("", "+", "++"):
        text = message(f"{plus}trainer.learning_rat=1")
        assert (
            text
            == "trainer.learning_rat: there is no such setting; did you mean trainer.learning_rate?"
        )


def test_a_key_without_its_section_is_told_where_it_lives():
    assert "did you mean trainer.learning_rate?" in message("learning_rate=1")
    assert "did you mean evaluate.samples?" in message("samples=1")


def test_a_wrong_type_says_key_value_and_expected():
    assert message("seed=x") == "seed='x': expected int"
    assert message("trainer.max_steps=1.5") == "trainer.max_steps=1.5: expected int"
    assert "did you mean cosine?" in message("trainer.lr_scheduler_type=cosin")


def test_all_mistakes_of_all_stages_come_at_once():
    text = message(
        "task=srot",  # a choice
        "trainer.learning_rat=1",  # a key
        "seed=x",  # a type
        "trainer.num_generations=7",  # arithmetic
        "shaper=[ucas]",
        "trainer.loss_type=luspo",  # a combination
        "evaluate.ks=[16]",  # a range
    )
    assert text.startswith("6 settings need a change:\n  - ")
    parts = ("srot", "learning_rat:", "seed=", "=7", "loss_type=luspo", "pass@16")
    for part in parts:
        assert part in text


def test_a_wrong_setting_is_not_complained_about_twice():
    text = message("trainer.num_generations=x")
    assert text == "trainer.num_generations='x': expected int or null"


def test_a_setting_does_not_switch_its_part_on():
    assert message("shaper.ucas.beta=1") == (
        "shaper.ucas.beta is set but ucas is not chosen: add shaper=[ucas]"
    )
    assert "add reward=[exact,length]" in message("reward=[exact]", "reward.length.weight=1")
    assert message("reward.length.weight=1") == (
        "reward.length.weight is set but length is not chosen: add reward=[length]; the task's "
        "own rewards count then only if they are listed too"
    )
    assert "there is no reward 'exat'; did you mean exact?" in message("reward.exat.weight=1")
    assert "add peft=lora" in message("peft.r=4")


def test_a_value_where_a_part_has_options():
    assert message("reward=[exact]", "reward.exact=3") == (
        "reward.exact=3: expected options, such as reward.exact.KEY=VALUE"
    )


def test_several_trackers_fill_one_section():
    several = compose(["tracking=[wandb,tensorboard]", "tracking.project=p"]).tracking
    assert (several.wandb, several.tensorboard, several.trackio) == (True, True, False)
    assert several.project == "p"
    assert compose(["tracking=wandb"]).tracking.wandb
    assert compose(["tracking=none"]) == compose(["tracking=[]"]) == compose([])


def test_two_presets_of_one_part_are_refused():
    assert "both set shaper.ucas" in message("shaper=[ucas,ucas_release]")


def test_interpolations_are_resolved_and_a_broken_one_is_named():
    assert compose(["run.id=s${seed}", "seed=7"]).run.id == "s7"
    assert "cannot be resolved" in message("run.id=${nowhere}")


def test_a_configuration_survives_its_file(tmp_path: Path):
    config = compose(["experiment=quickstart", "peft=lora", "task.levels=[2,3]"])
    save(config, tmp_path / "config.yaml")
    assert load(tmp_path / "config.yaml") == config


def test_a_recorded_configuration_takes_single_settings(tmp_path: Path):
    save(compose(["experiment=quickstart"]), tmp_path / "config.yaml")
    base = tmp_path / "config.yaml"
    config = compose(["evaluate.samples=16"], base=base)
    assert (config.name, config.evaluate.samples) == ("quickstart", 16)
    for override in ("model=tiny", "experiment=quickstart", "debug=fast", "shaper=[]"):
        text = message(override, base=base)
        assert (
            "beside task, environment, reward and judge only single settings can be changed" in text
        )


def test_a_recorded_configuration_takes_another_task_with_its_own_rewards(tmp_path: Path):
    base = tmp_path / "config.yaml"
    set_for_sort = ["reward=[exact,length]", "trainer.max_completion_length=9"]
    save(compose([*set_for_sort, "evaluate.max_new_tokens=8", "seed=5"]), base)

    config = compose(["task=largest", "task.levels=[3]"], base=base)
    assert config.task == {**compose(["task=largest"]).task, "levels": [3]}
    assert config.reward == {}  # the task's own
    assert config.trainer["max_completion_length"] is None  # the task's longest answer
    assert config.evaluate.max_new_tokens is None
    assert config.seed == 5

    kept = compose(["evaluate.samples=16"], base=base)
    assert (list(kept.reward), kept.evaluate.max_new_tokens) == (["exact", "length"], 8)

    chosen = ["task=largest", "reward=[length]", "evaluate.max_new_tokens=4"]
    config = compose(chosen, base=base)
    assert (list(config.reward), config.evaluate.max_new_tokens) == (["length"], 4)
    assert list(compose(["reward=[length]"], base=base).reward) == ["length"]


def test_a_wrong_choice_over_a_recorded_configuration_is_said(tmp_path: Path):
    base = tmp_path / "config.yaml"
    save(compose([]), base)
    assert "Did you mean 'sort'?" in message("task=srot", base=base)
    assert "task.levls" in message("task=largest", "task.levls=[3]", base=base)


def test_what_is_no_configuration_says_so(tmp_path: Path):
    (tmp_path / "list.yaml").write_text("[1, 2]")
    (tmp_path / "odd.yaml").write_text("a: [")
    (tmp_path / "other.yaml").write_text("zzz: 1")
    with pytest.raises(ConfigError, match="expected a mapping"):
        load(tmp_path / "list.yaml")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load(tmp_path / "odd.yaml")
    with pytest.raises(ConfigError, match="zzz: there is no such setting"):
        load(tmp_path / "other.yaml")
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "none.yaml")


def test_the_printed_tree_has_every_section_in_order():
    values, problems = composed([])
    assert problems == []
    assert list(values) == list(Config.__dataclass_fields__)
