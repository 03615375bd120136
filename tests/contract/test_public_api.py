"""The names and signatures that people, docs and outside checks rely on."""

import ast
import importlib
import inspect

import pytest

import rlconf

NAMES = [
    "CRewDPOTrainer",
    "CheckpointError",
    "ConfigError",
    "DynamicSettings",
    "FilterBatch",
    "Isolation",
    "NonFiniteError",
    "OnlineTrainer",
    "ReplaySettings",
    "Reply",
    "RewardError",
    "RlconfError",
    "RunLimits",
    "RunResult",
    "SPEARTrainer",
    "STaRTrainer",
    "ShaperBatch",
    "Signals",
    "StorageError",
    "Task",
    "ToolError",
    "ToolSettings",
    "TopologyError",
    "UCASTrainer",
    "environment",
    "reward",
    "rollout_filter",
    "sandbox",
    "shaper",
    "task",
    "tool",
]


def test_rlconf_exports_exactly_these_names() -> None:
    assert sorted(rlconf.__all__) == NAMES
    assert set(NAMES) <= set(dir(rlconf))


@pytest.mark.parametrize("name", NAMES)
def test_each_name_resolves_to_the_object_of_its_room(name: str) -> None:
    value = getattr(rlconf, name)
    assert value is getattr(importlib.import_module(rlconf._HOME[name]), name)
    assert inspect.getdoc(value), f"{name} has no docstring"


def test_type_checkers_see_the_same_names_from_the_same_rooms() -> None:
    """The lazy table and the `if TYPE_CHECKING` imports are two lists of one thing."""
    guarded = [node for node in ast.parse(inspect.getsource(rlconf)).body if type(node) is ast.If]
    imports = {
        alias.name: statement.module
        for statement in guarded[0].body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert imports == rlconf._HOME


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'OnlineTraner'"):
        _ = rlconf.OnlineTraner


def test_errors_share_a_base_and_are_also_what_the_standard_library_would_raise() -> None:
    assert issubclass(rlconf.ConfigError, (rlconf.RlconfError, ValueError))
    for name, also in {
        "ConfigError": ValueError,
        "RewardError": ValueError,
        "CheckpointError": RuntimeError,
        "StorageError": OSError,
        "NonFiniteError": ArithmeticError,
        "TopologyError": RuntimeError,
    }.items():
        assert issubclass(getattr(rlconf, name), rlconf.RlconfError)
        assert issubclass(getattr(rlconf, name), also)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("rewards.get", "name"),
        ("rewards.names", ""),
        ("rewards.confidence.token_certainty", "logits temperature"),
        ("data.difficulty.split_stages", "pass_rates threshold"),
        (
            "trainers.maths.ucas.ucas_advantages",
            "advantages certainty chosen_logits mask num_generations settings comm",
        ),
        ("trainers.maths.spear.sil_loss", "log_probs old_log_probs advantages mask"),
        ("trainers.maths.spear.covariance_clip", "log_probs advantages mask"),
        ("trainers.maths.schedules.warm_up", "step total"),
        ("trainers.maths.schedules.decay", "step total"),
    ],
)
def test_fixed_functions_start_with_these_parameters(path: str, parameters: str) -> None:
    module, _, name = path.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    expected = parameters.split()
    assert list(inspect.signature(function).parameters)[: len(expected)] == expected


@pytest.mark.parametrize("name", ["OnlineTrainer", "SPEARTrainer", "STaRTrainer", "UCASTrainer"])
def test_trainers_take_grpo_trainers_constructor(name: str) -> None:
    """Each positional parameter of `trl.GRPOTrainer` is taken, under its name or by **kwargs."""
    from trl import GRPOTrainer

    ours = inspect.signature(getattr(rlconf, name)).parameters
    theirs = inspect.signature(GRPOTrainer).parameters
    assert issubclass(getattr(rlconf, name), GRPOTrainer)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in ours.values())
    assert open_ended or set(theirs) <= set(ours)
