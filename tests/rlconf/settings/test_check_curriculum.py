"""`curriculum` and its stages: what is refused, and what a stage's configuration is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rewards.errors import ConfigError
from rlconf.building.parts import build_curriculum
from rlconf.commands.arguments import compose_to_sample
from rlconf.preview.validate import report
from rlconf.runs.continuity import May, rule
from rlconf.settings.check_curriculum import curriculum_settings
from rlconf.settings.compose import compose
from rlconf.settings.stages import stage_configs
from trainers.curriculum import CurriculumSettings

TWO = "curriculum.stages=[{stage: easy, trainer: {learning_rate: 0.1}}, {stage: hard}]"


@pytest.fixture
def rates(tmp_path: Path) -> str:
    """`curriculum.path=...` of a file of pass rates."""
    from data.difficulty import measure, write_difficulty

    path = tmp_path / "d.parquet"
    write_difficulty(path, measure([("a", True, 1), ("b", False, 2)]))
    return f"curriculum.path={path}"


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        compose(overrides)
    return str(error.value)


def test_star_has_the_defaults_of_the_settings(rates):
    assert curriculum_settings(compose(["curriculum=star", rates]).curriculum) == (
        CurriculumSettings()
    )


def test_nothing_chosen_is_no_curriculum(rates):
    assert build_curriculum(compose([])) is None
    assert "no curriculum: add curriculum=star" in refused(rates)


def test_the_curriculum_is_built_with_its_rates(rates):
    config = compose(["curriculum=star", rates, "curriculum.mixture.hard=0.7"])
    built = build_curriculum(config)
    assert built.pass_rates == {"a": 1.0, "b": 0.0}
    assert built.settings.mixture["hard"] == 0.7


def test_none_is_none_whatever_an_experiment_says():
    assert compose(["experiment=star_qwen3_0p6b", "curriculum=none"]).curriculum is None


def test_pass_rates_are_measured_before_there_is_a_file_of_them():
    config = compose_to_sample(["experiment=star_qwen3_0p6b"])
    assert config.curriculum["path"] == "difficulty/star_qwen3.parquet"
    with pytest.raises(ConfigError, match=r"sampling\.n=0"):
        compose_to_sample(["experiment=star_qwen3_0p6b", "sampling.n=0"])


def test_two_stages_need_pass_rates():
    assert "run rlconf difficulty with the same task settings and seed" in refused(
        "curriculum=star"
    )
    assert "nothing.parquet: there is no such file" in refused(
        "curriculum=star", "curriculum.path=nothing.parquet"
    )


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["curriculum.decya=0.5"], "did you mean curriculum.decay?"),
        (["curriculum.upper=0.999"], "expected lower < upper <= persist"),
        (["curriculum.edges=[0.3,0.6]"], "curriculum.edges"),
        (["curriculum.mode=mild"], "curriculum.mode='mild': expected one of"),
        (["reward=[exact]", "curriculum.metric=math"], "metric=math is not among .* (exact)"),
        (["trainer.max_steps=-1"], "set trainer.max_steps, not num_train_epochs=3"),
        (
            ["trainer.gradient_accumulation_steps=4", "trainer.steps_per_generation=1"],
            "raise curriculum.round_batches to 4",
        ),
        (["curriculum.stages=[3]"], "expected a list of mappings"),
        (["curriculum.stages=[{trainer: 3}]"], "trainer=3 is no mapping"),
        (["curriculum.stages=[{trainer: {method: sft}}]"], "trainer.method cannot differ"),
        ([TWO, "trainer.save_strategy=no"], "set it to steps"),
        (
            ["curriculum.stages=[{}, {trainer: {num_generations: 7}}]"],
            "stage 2 of curriculum.stages: a generation batch of 256",
        ),
    ],
)
def test_what_is_wrong_is_said(overrides, text, rates):
    pattern = re.escape(text).replace(r"\.\*", ".*")
    assert re.search(pattern, refused("curriculum=star", rates, *overrides))


def test_supervised_training_has_no_use_for_one(rates):
    assert "set curriculum=none" in refused("trainer=sft", "curriculum=star", rates)


def test_a_stage_is_a_difference(rates):
    config = compose(["curriculum=star", rates, TWO])
    first, second = stage_configs(config)
    assert first.trainer["learning_rate"] == 0.1
    assert second.trainer == config.trainer
    assert [one.curriculum["stage"] for one in (first, second)] == ["easy", "hard"]
    assert first.curriculum["stages"] == []
    assert stage_configs(compose([])) == [compose([])]


def test_debug_has_its_way_in_every_stage(rates):
    stages = "curriculum.stages=[{stage: easy, trainer: {max_steps: 99, learning_rate: 0.1}}]"
    whole = compose(["experiment=star_qwen3_0p6b", rates, "debug=fast"])
    assert [one.trainer["max_steps"] for one in stage_configs(whole)] == [3, 3]
    assert stage_configs(whole)[0].trainer["learning_rate"] == 1e-5
    # What a person types counts, here as everywhere.
    typed = compose(["curriculum=star", rates, "debug=fast", stages])
    assert stage_configs(typed)[0].trainer["max_steps"] == 99


def test_validate_tells_each_stage(rates):
    text = report(compose(["curriculum=star", rates, TWO]))
    assert text.count("STAGE 1 OF 2") == text.count("STAGE 2 OF 2") == 1
    assert "1 questions are easy and 1 hard at a pass rate of 0.6" in text
    assert "the hard stage only" in text
    assert "curriculum = two_stage (default: null)" in text
    assert "curriculum.decay" not in text


def test_what_decides_the_prompts_cannot_change_on_resume():
    for key in ("curriculum", "curriculum.path", "curriculum.mode", "curriculum.stages"):
        assert rule(key)[0] is May.NEVER
    assert rule("curriculum.upper")[0] is May.BRANCH
    assert rule("curriculum.check_every")[0] is May.ALWAYS
