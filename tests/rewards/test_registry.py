import pytest

from rewards.errors import ConfigError
from rewards.registry import Registry, did_you_mean, place_of


def first() -> None: ...


def second() -> None: ...


def test_a_registered_thing_is_found_by_name() -> None:
    registry: Registry[object] = Registry("task")
    registry.register("sort", first)
    registry.register("arithmetic", second)
    assert registry.get("sort") is first
    assert registry.names() == ("arithmetic", "sort")
    assert "sort" in registry
    assert "srot" not in registry


def test_an_unknown_name_is_answered_with_the_nearest_and_the_list() -> None:
    registry: Registry[object] = Registry("task")
    registry.register("sort", first)
    registry.register("largest", second)
    with pytest.raises(ConfigError) as caught:
        registry.get("srot")
    assert str(caught.value).startswith(
        "There is no task named 'srot'. Did you mean 'sort'? Choices: largest, sort."
    )


def test_a_duplicate_names_both_places() -> None:
    registry: Registry[object] = Registry("task")
    registry.register("sort", first)
    with pytest.raises(ConfigError) as caught:
        registry.register("sort", second)
    text = str(caught.value)
    assert "the task 'sort'" in text
    for function in (first, second):
        assert f"{__file__}:{function.__code__.co_firstlineno}" in text
    assert registry.get("sort") is first


def test_the_same_definition_imported_again_replaces_itself() -> None:
    registry: Registry[object] = Registry("task")
    registry.register("sort", first)
    registry.register("sort", second, place=registry.place("sort"))  # a reload: same file and line
    assert registry.get("sort") is second


def test_a_removed_name_can_be_taken_again() -> None:
    registry: Registry[object] = Registry("task")
    registry.register("sort", first)
    registry.remove("sort")
    registry.register("sort", second)
    assert registry.get("sort") is second
    with pytest.raises(ConfigError, match="no task named 'absent'"):
        registry.remove("absent")


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "a b", "1st", "a\n", "_private", "é", None, 3])
def test_what_cannot_be_a_configuration_key_is_no_name(name: object) -> None:
    with pytest.raises(ConfigError, match="cannot name a task"):
        Registry("task").register(name, first)


def test_suggestion_without_anything_near_or_anything_at_all() -> None:
    assert did_you_mean("zzz", ["exact", "math"]) == "Choices: exact, math."
    assert did_you_mean("zzz", []) == "There are none."


def test_place_of_a_thing_without_source_is_its_module() -> None:
    assert place_of(len).startswith("builtins")
    namespace: dict[str, object] = {"__name__": "prompt"}
    exec("def typed(): ...", namespace)  # as at an interactive prompt
    assert place_of(namespace["typed"]) == "prompt"
