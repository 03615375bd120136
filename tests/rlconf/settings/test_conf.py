"""The shipped tree: every file composes, agrees with the code, and says what it is for."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import rewards
from data import tasks, tools
from data.difficulty import measure, write_difficulty
from data.tasks import Task
from rlconf.building.parts import build_task, with_environment
from rlconf.preview import validate
from rlconf.preview.validate import report
from rlconf.settings import foreign, plugins, tree
from rlconf.settings.compose import compose, composed
from rlconf.settings.plugins import offer_registered, settings_defaults
from rlconf.settings.schema import Config, to_dict
from rlconf.settings.stages import stage_configs
from trainers import filters, shapers
from trainers.dynamic import DynamicSettings
from trainers.maths.ucas import PAPER_V1, RELEASE_2026_04
from trainers.replay import ReplaySettings

EXPERIMENTS = sorted(path.stem for path in (tree.CONF / "experiment").glob("*.yaml"))
FILES = sorted(path for path in tree.CONF.rglob("*.yaml") if path.name != "config.yaml")

SHIPPED_FILTERS = ("overlong", "void", "repetitive", "unreadable", "low_variance")

# What a choice cannot do without, to be composed by itself.
NEEDS = {
    ("task", "file"): ["task.path=questions.jsonl"],
    ("task", "hub"): ["task.path=owner/questions"],
    ("task", "reasoning_gym"): ["task.name=chain_sum"],
    ("model", "hub"): ["model.path=some/model"],
    ("tools", "calculator"): ["model.path=some/model", "model.name=null"],
    ("tools", "python"): ["model.path=some/model", "model.name=null"],
    ("peft", "qlora"): ["model.path=some/model"],
    ("curriculum", "star"): ["curriculum.path=pass_rates.parquet"],
    ("experiment", "star_qwen3_0p6b"): ["curriculum.path=pass_rates.parquet"],
    ("experiment", "star_qwen3_8b"): ["curriculum.path=pass_rates.parquet"],
    ("experiment", "spear_webshop_1p5b"): ["plugins=[webshop.py]"],
}

WEBSHOP = """from rlconf import environment
from rlconf import Reply

@environment("webshop")
class WebShop:
    reward = 0.0
    def reset(self, row):
        return ""
    def act(self, text):
        return Reply("", done=True)
"""
"""Stands where the user's own file does."""


def test_the_number_of_experiments():
    # Counted, so that a glob that finds nothing fails. Add one here when you ship one.
    assert EXPERIMENTS == [
        "crew_dpo_gsm8k",
        "crew_dpo_math",
        "quickstart",
        "smollm2",
        "spear_aime_32b",
        "spear_alfworld_1p5b",
        "spear_webshop_1p5b",
        "star_qwen3_0p6b",
        "star_qwen3_8b",
        "ucas_qwen_math_1p5b",
        "ucas_qwen_math_7b",
    ]


@pytest.fixture(autouse=True)
def _files_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What `NEEDS` names, and ALFWorld's games as the rows that they give."""
    monkeypatch.chdir(tmp_path)
    write_difficulty("pass_rates.parquet", measure([("a", True, 1), ("b", False, 2)]))
    Path("webshop.py").write_text(WEBSHOP)
    goals = [{"prompt": f"buy number {number}", "goal": number} for number in range(40)]
    Path("goals.jsonl").write_text("".join(f"{json.dumps(goal)}\n" for goal in goals))
    monkeypatch.setattr(validate, "build_task", _task_with_alfworld)
    yield
    for module in [name for name in sys.modules if name.startswith("rlconf_plugin_webshop_")]:
        plugins.forget(module)


def _task_with_alfworld(config: Config) -> Task:
    if config.task["name"] != "textworld":
        return build_task(config)
    rows = [
        {"prompt": f"room {n}", "answer": "", "level": 0, "id": str(n), "game": "x"}
        for n in range(40)
    ]
    task = Task("textworld", rows, [], [], ("success",), 28672, environment="textworld")
    return with_environment(config, task)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_valid(name: str):
    config = compose([f"experiment={name}", *NEEDS.get(("experiment", name), [])])
    text = report(config)
    assert "optimiser step" in text
    assert ("without effect here" in text) == (config.trainer["method"] == "grpo")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_can_be_tried_fast(name: str):
    needs = NEEDS.get(("experiment", name), [])
    config = compose([f"experiment={name}", "debug=fast", *needs])
    assert {one.trainer["max_steps"] for one in stage_configs(config)} == {3}
    assert config.launch.processes is None


def test_every_choice_composes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "rlconf.settings.check._installed", lambda package: True
    )  # trackio is an extra
    monkeypatch.setattr("rlconf.settings.check_model._lacks_for_4_bit", lambda: "")
    offer_registered()
    tried = 0
    for group in tree.groups():
        for name in tree.choices(group):
            if name in foreign.OPTIONS:
                continue  # two of them have options without a default
            chosen = f"{group}=[{name}]" if group in tree.SEVERAL else f"{group}={name}"
            compose([chosen, *NEEDS.get((group, name), [])])
            tried += 1
    assert tried >= len(FILES) > 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_begins_with_what_it_is(path: Path):
    line = tree.first_line(path.parent.name, path.stem)
    assert len(line) > 20
    assert path.stem in line or f"{path.parent.name}." in line


@pytest.mark.parametrize("name", sorted(tasks.names()))
def test_task_files_hold_the_defaults_of_the_code(name: str):
    if not tree.has_file("task", name):
        pytest.skip("registered by another test's plug-in")
    in_file = OmegaConf.to_container(OmegaConf.load(tree.CONF / "task" / f"{name}.yaml"))
    assert in_file == {"name": name, **settings_defaults(tasks.get(name).settings)}


OWN = ("exact", "math", "boxed", "format", "length", "reasoning_gym")
TABLE = ("table_exact", "table_format", "table_partial")


@pytest.mark.parametrize("name", [*OWN, *TABLE])
def test_reward_files_hold_the_defaults_of_the_code(name: str):
    in_file = OmegaConf.to_container(OmegaConf.load(tree.CONF / "reward" / f"{name}.yaml"))
    options = dict(rewards.spec(name).options)
    as_yaml = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
    assert in_file == {name: {"weight": 1.0, **as_yaml}}


def test_files_of_parts_hold_the_defaults_of_the_code():
    in_file = OmegaConf.to_container(OmegaConf.load(tree.CONF / "replay" / "spear.yaml"))
    assert in_file == settings_defaults(ReplaySettings)
    in_file = OmegaConf.to_container(OmegaConf.load(tree.CONF / "dynamic" / "dapo.yaml"))
    assert in_file == settings_defaults(DynamicSettings)
    every = {name: settings_defaults(filters.get(name).settings) for name in SHIPPED_FILTERS}
    for name, defaults in every.items():
        in_file = OmegaConf.to_container(OmegaConf.load(tree.CONF / "filter" / f"{name}.yaml"))
        assert in_file == {name: defaults}
    assert OmegaConf.to_container(OmegaConf.load(tree.CONF / "filter" / "drbot.yaml")) == every
    options = OmegaConf.to_container(OmegaConf.load(tree.CONF / "shaper" / "clip_cov.yaml"))
    assert options == {"clip_cov": settings_defaults(shapers.get("clip_cov").settings)}
    for name in ("tool_calls", "tool_calls_flat"):
        options = OmegaConf.to_container(OmegaConf.load(tree.CONF / "reward" / f"{name}.yaml"))
        own = dict(rewards.spec(name).options)
        assert options == {name: {"weight": 1.0, "decay": 200, **own}}


@pytest.mark.parametrize(
    ("preset", "weights", "profile"),
    [
        ("table", (0.2, 0.3, 0.5), "strict"),
        ("table_star", (0.2, 0.3, 0.5), "star"),
        ("table_r1", (1.0, None, 1.0), "strict"),
    ],
)
def test_presets_of_the_composite_reward(preset: str, weights: tuple[float], profile: str):
    chosen = compose([f"reward=[{preset}]", "task=tables"]).reward
    parts = ("table_format", "table_partial", "table_exact")
    assert tuple(chosen.get(name, {}).get("weight") for name in parts) == weights
    assert {options["profile"] for options in chosen.values()} == {profile}
    for name, options in chosen.items():
        assert options.keys() == {"weight", *rewards.spec(name).options}


@pytest.mark.parametrize(
    ("preset", "constant"), [("ucas", PAPER_V1), ("ucas_release", RELEASE_2026_04)]
)
def test_presets_of_ucas_are_the_constants(preset: str, constant: object):
    options = compose([f"shaper=[{preset}]"]).shaper["ucas"]
    assert shapers.make_shaper("ucas", **options).settings == constant


def test_the_root_holds_the_defaults_of_the_schema():
    values, _ = composed([])
    for name, default in to_dict(Config()).items():
        if name not in ("trainer", "task", "environment", "reward", "shaper", "model", "peft"):
            assert values[name] == default, name
    hub = OmegaConf.to_container(OmegaConf.load(tree.CONF / "model" / "hub.yaml"))
    assert hub == {**to_dict(Config())["model"], "name": None}
    lora = OmegaConf.to_container(OmegaConf.load(tree.CONF / "peft" / "lora.yaml"))
    assert lora == dataclasses.asdict(compose(["peft=lora"]).peft)
    pairs = OmegaConf.to_container(OmegaConf.load(tree.CONF / "pairs" / "crew.yaml"))
    assert pairs == to_dict(Config())["pairs"]
    sampling = OmegaConf.to_container(OmegaConf.load(tree.CONF / "sampling" / "hf.yaml"))
    assert sampling == to_dict(Config())["sampling"]


def test_the_figures_of_crew_dpo():
    for name, top_k in (("crew_dpo_math", 10), ("crew_dpo_gsm8k", 15)):
        config = compose([f"experiment={name}"])
        trainer, sampling = config.trainer, config.sampling
        assert (sampling.n, sampling.temperature, config.pairs.top_k) == (30, 1.0, top_k)
        assert (config.pairs.gap, config.pairs.confidence) == ("signed", "crew")
        assert (config.crew.locator, config.crew.aggregate) == ("boxed", "mean")
        rows = trainer["per_device_train_batch_size"] * trainer["gradient_accumulation_steps"]
        assert rows * config.launch.processes == 128
        assert (trainer["beta"], trainer["learning_rate"]) == (0.3, 5e-7)
        assert (trainer["num_train_epochs"], trainer["save_steps"]) == (2, 50)
        assert config.crew_dpo.iterations == 2
        assert trainer["max_length"] is None


def test_the_figures_of_spear():
    for name, updates, batches, turns, prompt in (
        ("alfworld", 4, 200, 50, 2048),
        ("webshop", 8, 350, 15, 4096),
    ):
        experiment = f"spear_{name}_1p5b"
        config = compose([f"experiment={experiment}", *NEEDS.get(("experiment", experiment), [])])
        trainer, replay = config.trainer, config.replay
        rows = trainer["per_device_train_batch_size"] * config.launch.processes
        assert rows * trainer["steps_per_generation"] == 32 * trainer["num_generations"] == 32 * 8
        assert trainer["steps_per_generation"] == updates * trainer["gradient_accumulation_steps"]
        assert trainer["max_steps"] == batches * updates
        assert trainer["learning_rate"] == 1e-6
        assert (trainer["loss_type"], trainer["scale_rewards"]) == ("dr_grpo", "none")
        assert (trainer["epsilon"], trainer["epsilon_high"], trainer["beta"]) == (0.2, 0.28, 0.0)
        assert config.model.path == "Qwen/Qwen2.5-1.5B-Instruct"
        assert config.model.max_prompt_tokens == prompt
        assert config.environment["max_turns"] == turns
        assert config.environment["max_turn_tokens"] == 512
        assert config.reward["success"] == {"weight": 10.0}
        assert config.reward["valid_turns"] == {"weight": 0.1}
        assert config.reward["tool_calls"] == {
            "weight": 1.0, "decay": 200, "per_call": 0.1, "cap": 1.0,
        }  # fmt: skip
        assert [*config.filter] == list(SHIPPED_FILTERS)
        assert config.filter["low_variance"] == {"keep": 0.75}
        assert config.filter["repetitive"] == {"ngram": 20, "count": 10}
        assert config.shaper["clip_cov"]["ratio"] == 0.0002
        assert (config.shaper["clip_cov"]["lower"], config.shaper["clip_cov"]["upper"]) == (1, 5)
        assert {key: replay[key] for key in ("size", "max_age", "coef", "warm_up")} == {
            "size": 2048, "max_age": 5, "coef": 1.0, "warm_up": 200,
        }  # fmt: skip
        assert (replay["cov_ratio"], replay["cov_lower"], replay["cov_upper"]) == (0.02, 2.0, 60.0)
        kept_groups = int(0.75 * 32)
        assert replay["baseline_generations"] == round(10240 / kept_groups)
        assert config.evaluate.temperature == 0.4


def test_the_figures_of_the_paper():
    for name, overlong, micro in (
        ("ucas_qwen_math_1p5b", 1024, 8),
        ("ucas_qwen_math_7b", 512, 2),
    ):
        config = compose([f"experiment={name}"])
        trainer = config.trainer
        rows = trainer["per_device_train_batch_size"] * config.launch.processes
        assert trainer["per_device_train_batch_size"] == micro
        assert rows * trainer["steps_per_generation"] == 512 * 16
        assert rows * trainer["gradient_accumulation_steps"] == 128 * 16
        assert trainer["num_generations"] == 16
        assert (trainer["learning_rate"], trainer["lr_scheduler_type"]) == (1e-6, "constant")
        assert (trainer["epsilon"], trainer["epsilon_high"], trainer["beta"]) == (0.2, 0.28, 0.0)
        assert trainer["max_steps"] == 220 * 4
        assert trainer["max_completion_length"] == 3072
        assert config.model.max_prompt_tokens == 1024
        assert config.task["levels"] == [3, 4, 5]
        punishment = config.reward["soft_overlong_punishment"]
        assert (punishment["weight"], punishment["soft_punish_cache"]) == (0.5, overlong)
        assert (config.shaper["ucas"]["alpha_pos"], config.shaper["ucas"]["beta"]) == (0.25, 0.01)
        assert config.evaluate.max_new_tokens == 3000


@pytest.mark.parametrize(("name", "micro"), [("star_qwen3_0p6b", 8), ("star_qwen3_8b", 1)])
def test_the_figures_of_star(name: str, micro: int):
    config = compose([f"experiment={name}", *NEEDS["experiment", name]])
    easy, hard = stage_configs(config)
    for stage, generations, rate, batches in ((easy, 5, 1e-5, 20), (hard, 8, 1e-6, 120)):
        trainer = stage.trainer
        rows = trainer["per_device_train_batch_size"] * config.launch.processes
        assert trainer["per_device_train_batch_size"] == micro
        assert rows * trainer["steps_per_generation"] == 512 * generations
        assert rows * trainer["gradient_accumulation_steps"] == 256 * generations
        assert (trainer["num_generations"], trainer["learning_rate"]) == (generations, rate)
        assert trainer["max_steps"] == 2 * batches
        assert (trainer["epsilon"], trainer["epsilon_high"], trainer["delta"]) == (0.2, 0.28, 10.0)
        assert (trainer["beta"], trainer["max_completion_length"]) == (0.0, 4096)
    limits = {key: hard.curriculum[key] for key in ("threshold", "persist", "upper", "lower")}
    assert limits == {"threshold": 0.6, "persist": 0.99, "upper": 0.8, "lower": None}
    weights = {reward: options["weight"] for reward, options in config.reward.items()}
    assert weights == {"table_format": 0.2, "table_partial": 0.3, "table_exact": 0.5}
    assert config.sampling.n == 32
    assert (config.evaluate.samples, config.evaluate.temperature) == (8, 0.6)


def test_files_of_tools_hold_the_defaults_of_the_code():
    assert set(tools.names()) == set(tree.choices("tools")) == {"calculator", "python"}
    for name in tools.names():
        in_file = OmegaConf.to_container(OmegaConf.load(tree.CONF / "tools" / f"{name}.yaml"))
        assert in_file == {name: settings_defaults(tools.get(name).settings)}
