"""The command line, sorted into choices and settings."""

import pytest

from rlconf.settings.overrides import read_overrides


def problem(*arguments: str) -> str:
    _, problems = read_overrides(arguments)
    assert len(problems) == 1, problems
    return problems[0].text


def test_choices_and_settings_are_told_apart():
    found, problems = read_overrides(
        ["task=largest", "shaper=[ucas]", "seed=3", "trainer.learning_rate=1e-5", "reward=exact"]
    )
    assert problems == []
    assert found.groups == {"task": "largest", "shaper": ["ucas"], "reward": ["exact"]}
    assert found.values == [("seed", 3), ("trainer.learning_rate", 1e-5)]


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_a_plus_means_nothing(plus: str):
    found, _ = read_overrides([f"{plus}trainer.epsilon_high=0.28", f"{plus}experiment=quickstart"])
    assert found.values == [("trainer.epsilon_high", 0.28)]
    assert found.groups == {"experiment": "quickstart"}


def test_values_are_typed_by_hydras_grammar():
    found, _ = read_overrides(["a=1", "b=1.5", "c=true", "d=null", "e='1'", "f=[1,2]", "g={h:1}"])
    assert [value for _, value in found.values] == [1, 1.5, True, None, "1", [1, 2], {"h": 1}]


def test_an_unknown_choice_names_the_nearest_and_all():
    text = problem("task=srot")
    assert text.startswith("task=srot: there is no such choice. Did you mean 'sort'?")
    assert "largest" in text


def test_hydra_keys_are_refused():
    assert "run.root, run.id or run.dir" in problem("hydra.run.dir=x")
    assert "hydra.*" in problem("hydra/launcher=basic")


def test_deleting_sweeping_and_packages_are_refused():
    assert "set shaper=null instead" in problem("~shaper")
    for several in ("seed=1,2", "seed=range(3)", "task=glob(*)", "seed=choice(1,2)"):
        assert "expected one value; to train once with each, type rlconf train -m" in problem(
            several
        )
    assert "without @ or /" in problem("task@other=sort")


def test_what_cannot_be_read_says_how_to_quote():
    assert "in quotes" in problem("task.template=a{b")
    assert "expected KEY=VALUE" in problem("--seed")


def test_one_choice_where_one_is_taken():
    assert problem("task=[sort,largest]") == "task=[sort,largest]: choose one"


def test_a_path_chooses_the_model_that_is_loaded_from_it():
    assert read_overrides(["model.path=a/b"])[0].groups == {"model": "hub"}
    assert read_overrides(["model.path=a/b", "model=tiny"])[0].groups == {"model": "tiny"}
    assert read_overrides(["model.path=null"])[0].groups == {}


def test_null_is_the_choice_called_none_or_no_choice():
    found, problems = read_overrides(["peft=null", "experiment=null", "shaper=null"])
    assert problems == []
    assert found.groups == {"peft": "none", "shaper": []}
    assert problem("task=null").startswith("task=null: choose one of arithmetic, ")
    assert problem("task=[]") == "task=[]: choose one"
    assert problem("tracking=[none,wandb]") == "tracking=[none,wandb]: choose one"


def test_beside_reasoning_gym_the_tasks_name_is_its_data_set():
    found, problems = read_overrides(["task.name=chain_sum", "task=reasoning_gym"])
    assert problems == []
    assert found.values == [("task.dataset", "chain_sum")]
    found, _ = read_overrides(["task.name=chain_sum"])
    assert found.values == [("task.name", "chain_sum")]
