"""Which runs belong together, and what sets the others apart."""

from __future__ import annotations

from rlconf.report.diff import differences, flatten, group, letter
from rlconf.report.load import load


def test_flatten_keeps_lists_and_empty_sections():
    nested = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": {}}
    assert flatten(nested) == {"a.b": 1, "a.c.d": [1, 2], "e": {}}


def test_seeds_are_one_group_and_another_setting_is_another(make_run):
    runs = [load(make_run(f"ucas-{seed}", seed=seed)) for seed in (1, 2)]
    runs.insert(1, load(make_run("plain", shaper={})))
    groups = group(runs)
    assert [[run.seed for run in one.runs] for one in groups] == [[1, 2], [0]]
    assert [(one.letter, one.label) for one in groups] == [
        ("A", "shaper=ucas"),
        ("B", "shaper=none"),
    ]


def test_name_folder_and_tracker_do_not_separate(make_run):
    settings = [{"run": {"id": "x"}, "tracking": {"name": "wandb"}}, {"name": "other"}]
    runs = [load(make_run(str(place), **one)) for place, one in enumerate(settings)]
    assert len(group(runs)) == 1


def test_differences_are_named_once_a_part(make_run):
    trainer = {"method": "grpo", "max_steps": 30, "learning_rate": 2e-3}
    runs = [load(make_run("a")), load(make_run("b", shaper={}, trainer=trainer))]
    found = {row.key: row.values for row in differences(group(runs))}
    assert found == {
        "trainer.per_device_train_batch_size": ["8", "(not set)"],
        "trainer.learning_rate": ["0.001", "0.002"],
        "shaper": ["ucas", "none"],
    }


def test_runs_without_a_configuration_stay_apart(make_run):
    folders = [make_run("a"), make_run("b")]
    for folder in folders:
        (folder / "config.yaml").unlink()
    groups = group([load(folder) for folder in folders])
    assert [one.label for one in groups] == ["toy/a", "toy/b"]
    assert differences(groups) == []


def test_letters_go_on_after_z():
    assert [letter(place) for place in (0, 25, 26, 27, 52)] == ["A", "Z", "AA", "AB", "BA"]
