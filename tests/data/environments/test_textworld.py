"""TextWorld: what a turn may be, and real games where the package is installed."""

import importlib.util
import json
import sys
from random import Random

import numpy as np
import pytest

from data.environments import make_environment
from data.environments.textworld import command_of
from data.environments.textworld_engine import Engine, clean, readable_names
from data.tasks import make_task
from data.words import words_of
from rewards.errors import ConfigError
from trainers.models.words import word_tokenizer

needs_textworld = pytest.mark.skipif(
    importlib.util.find_spec("textworld") is None,
    reason="the package textworld is an extra: pip install 'rlconf[agents]'",
)
needs_planner = pytest.mark.skipif(
    importlib.util.find_spec("textworld") is None
    or importlib.util.find_spec("fast_downward") is None,
    reason="ALFWorld's games need textworld and fast-downward-textworld",
)


@pytest.mark.parametrize(
    ("text", "form", "command"),
    [
        ("Take  key\n", "line", "take key"),
        ("> look\nand then go", "line", "look"),
        ("\n\n", "line", ""),
        ("I think so. <action>Go\nnorth</action>", "tag", "go north"),
        ("<action>a</action> no: <action>b</action>", "tag", "b"),
        ("look", "tag", ""),
    ],
)
def test_the_command_in_a_turn(text, form, command):
    assert command_of(text, form) == command


def test_banner_and_status_line_go():
    banner = "  ________\n |  $$ |\n\nWelcome! Eat it.\n\n"
    room = "-= Cellar =-\nA cellar. -= not a heading =-\n\n\n\nThere is a bug.\n"
    assert clean(f"{banner}{room}\n>      -= Cellar =-0/1") == (
        "-= Cellar =-\nA cellar. -= not a heading =-\nThere is a bug."
    )
    assert clean("\nYou eat it.\n\n\n>    -= Cellar =-0/2") == "You eat it."
    assert clean("2 > 1, they say.") == "2 > 1, they say."


def test_names_of_alfworld_are_numbered_downwards_as_it_does():
    names = ["mug_bar__plus_2", "mug_bar__plus_1", "sink_bar_3_bar_sinkbasin", "agent1"]
    assert readable_names(names) == {
        "mug_bar__plus_1": "mug 2",
        "mug_bar__plus_2": "mug 1",
        "sink_bar_3_bar_sinkbasin": "sinkbasin 1",
    }


def test_without_the_package_it_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "textworld", None)  # importing it raises ImportError
    with pytest.raises(ConfigError) as error:
        make_task("textworld")
    assert str(error.value) == (
        "TextWorld games need the package textworld: pip install 'rlconf[agents]'"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"levels": [0]}, "expected one or more different numbers from 1 to 30"),
        ({"rooms": 0}, "rooms=0: expected 1 or more"),
        ({"first_seed": -1}, "first_seed=-1: expected 0 or more"),
        ({"template": "Play."}, "expected {objective} or {observation} in it"),
        ({"system": "Play."}, "system needs chat=true"),
    ],
)
def test_refused_options(options, said):
    with pytest.raises(ConfigError) as error:
        make_task("textworld", options)
    assert said in str(error.value)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Games are made once for all tests, which takes some seconds."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("cache")
    patch.setenv("RLCONF_CACHE", str(folder))
    yield folder
    patch.undo()


SMALL = {"train_size": 2, "dev_size": 1, "test_size": 1, "levels": [2]}


@pytest.fixture(scope="module")
def task(cache):
    return make_task("textworld", SMALL)


@needs_textworld
def test_games_are_apart_and_found_again(task, cache, monkeypatch):
    rows = [*task.train, *task.dev, *task.test]
    for column in ("prompt", "id", "game"):
        assert len({row[column] for row in rows}) == 4
    assert {row["level"] for row in rows} == {2}
    assert all((cache / row["game"]).is_file() for row in rows)
    monkeypatch.setattr("data.tasks.textworld_games._fill", None)  # to make one would raise
    again = make_task("textworld", SMALL, seed=1)
    assert sorted(row["id"] for row in again.train) == sorted(row["id"] for row in task.train)
    assert again.test == task.test


@needs_textworld
def test_played_as_it_is_solved_a_game_is_won(task):
    env = make_environment("textworld")
    for row in task.train:
        assert row["prompt"].count("-= ") == 1
        assert "$$" not in row["prompt"]
        said = env.reset(row)
        first, second = row["answer"].split("; ")
        assert said.startswith("\nCommands: ")
        assert first in said
        assert env.reward == 0.0
        reply = env.act(first.upper())
        assert (reply.done, reply.valid, env.reward) == (False, True, 0.0)
        assert reply.observation.endswith("\n> ")
        assert env.act(second).done
        assert env.reward == 1.0
        assert env.reset(row) == said  # no trace is left
        assert env.reward == 0.0
    env.close()


@needs_textworld
def test_only_admissible_commands_reach_the_game(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = make_environment("textworld", {"admissible": False})
    row = task.train[0]
    assert env.reset(row) == "\n> "
    first, second = row["answer"].split("; ")
    for text in ("save", "script", "quit", "", "x" * 10_000, f"<action>{first}</action>"):
        reply = env.act(text)
        assert (reply.observation, reply.done, reply.valid) == (
            "\nThat is not possible.\n> ",
            False,
            False,
        )
    env.act(first)
    assert env.act(second).done
    assert list(tmp_path.iterdir()) == []
    env.close()


@needs_textworld
def test_points_on_the_way_are_a_reward_on_request(cache):
    task = make_task(
        "textworld", {**SMALL, "levels": [1], "quests": 2, "test_size": 0, "dev_size": 0}
    )
    row = task.train[0]
    for dense, between in ((False, 0.0), (True, 0.5)):
        env = make_environment("textworld", {"dense": dense})
        env.reset(row)
        first, second = row["answer"].split("; ")
        env.act(first)
        assert env.reward == between
        assert env.act(second).done
        assert env.reward == 1.0
        env.close()


@needs_textworld
def test_a_kept_state_is_the_one_that_is_played(task, cache):
    row, rng = task.train[0], Random(0)
    kept, fresh = Engine(), Engine(keep=False)
    path = cache / row["game"]
    for _ in range(3):
        taken = ()
        for _ in range(3):
            state = kept.state(path, taken)
            assert fresh.state(path, taken) == state
            taken += (rng.choice(state.admissible),)
    kept.close()
    fresh.close()


@needs_textworld
def test_demonstrations_are_admissible_commands_in_words_of_the_task(task):
    tokenizer = word_tokenizer(task.words)
    env, rng = make_environment("textworld"), Random(0)
    shown = [(row, task.demonstrate(row, rng)) for row in task.train * 4]
    for row, turns in shown:
        texts = [row["prompt"], env.reset(row)]
        for turn in turns:
            reply = env.act(tokenizer.decode(tokenizer(turn)["input_ids"]))
            assert reply.valid
            texts.append(reply.observation)
        assert {word for text in texts for word in words_of(text)} <= set(task.words)
    assert len({tuple(turns) for _, turns in shown}) > 4
    env.close()


@needs_textworld
def test_the_global_random_state_is_left_alone(task, cache):
    np.random.seed(3)  # noqa: NPY002 (the global state itself is meant)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    engine = Engine(keep=False)
    engine.state(cache / task.train[0]["game"])
    engine.close()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@needs_textworld
def test_more_games_than_there_are_is_refused(cache, monkeypatch):
    monkeypatch.setattr("data.tasks.textworld_games.FAILURES", 2)
    options = {**SMALL, "objects": 1, "levels": [30], "train_size": 1, "test_size": 0}
    monkeypatch.setattr("data.tasks.textworld_games._fill", lambda *_: None)  # as of a bad seed
    with pytest.raises(ConfigError, match="the last 2 seeds, up to 1, gave no new game of 30"):
        make_task("textworld", options)


@needs_textworld
def test_games_of_a_folder(task, cache, tmp_path):
    for split, rows in (("train", task.train), ("valid", task.dev)):
        for number, row in enumerate(rows):
            folder = tmp_path / "games" / split / str(number)
            folder.mkdir(parents=True)
            for suffix in (".z8", ".json"):
                source = (cache / row["game"]).with_suffix(suffix)
                (folder / f"my{suffix}").write_bytes(source.read_bytes())
    found = make_task("textworld", {"games": str(tmp_path / "games"), "test_size": 4})
    assert {row["prompt"] for row in found.train} == {row["prompt"] for row in task.train}
    assert [row["prompt"] for row in found.dev] == [row["prompt"] for row in task.dev]
    assert found.test == []  # of two games none is held out
    assert {row["level"] for row in found.train} == {2}
    assert found.demonstrate is None
    env = make_environment("textworld")
    env.reset(found.train[0])
    for command in found.train[0]["answer"].split("; "):
        env.act(command)
    assert env.reward == 1.0
    env.close()


@needs_textworld
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder.rmdir(), "there is no such folder"),
        (lambda folder: None, "no game is below it; expected .z8 or .tw-pddl files"),
        (lambda folder: (folder / "a.ulx").touch(), "only .ulx games"),
    ],
)
def test_folders_without_games(make, said, tmp_path):
    folder = tmp_path / "games"
    folder.mkdir()
    make(folder)
    with pytest.raises(ConfigError, match=said):
        make_task("textworld", {"games": str(folder)})


@needs_textworld
def test_a_game_without_its_json_is_refused(task, cache, tmp_path):
    (tmp_path / "bare.z8").write_bytes((cache / task.train[0]["game"]).read_bytes())
    with pytest.raises(ConfigError, match=r"beside the game belongs the \.json"):
        make_task("textworld", {"games": str(tmp_path)})


PDDL = {
    "pddl_domain": """(define (domain d) (:requirements :typing)
        (:types agent thing) (:predicates (at ?t - thing) (held ?t - thing))
        (:action take :parameters (?t - thing) :precondition (and (at ?t))
          :effect (and (held ?t) (not (at ?t)))))""",
    "pddl_problem": """(define (problem p) (:domain d)
        (:objects mug_bar__plus_1 - thing mug_bar__plus_2 - thing)
        (:init (at mug_bar__plus_1) (at mug_bar__plus_2))
        (:goal (and (held mug_bar__plus_1))))""",
    "grammar": """grammar :: \"\"\"
        {
            "intro": [{"rhs": "-= Welcome =-\\n\\nYour task is to: take mug 2."}],
            "take.feedback": [{"rhs": "You take the {t.name}."}]
        }
    \"\"\";
    action take {
        template :: "take [{t.name}]";
        feedback :: "#take.feedback#";
    }""",
}


@needs_planner
def test_a_game_of_alfworlds_form_is_played(cache, tmp_path):
    (tmp_path / "train" / "pick").mkdir(parents=True)
    (tmp_path / "train" / "pick" / "game.tw-pddl").write_text(json.dumps(PDDL))
    task = make_task("textworld", {"games": str(tmp_path)})
    (row,) = task.train
    assert (row["prompt"], row["level"]) == ("-= Welcome =-\nYour task is to: take mug 2.", 0)
    env = make_environment("textworld", {"form": "tag"})
    assert env.reset(row) == "\nCommands: take mug 1; take mug 2\n> "
    assert not env.act("take mug 2").valid
    reply = env.act("<think>two</think><action>take mug 1</action>")
    assert (reply.observation, reply.done) == (
        "\nYou take the mug 1.\nCommands: take mug 2\n> ",
        False,
    )
    assert env.act("<action>Take mug 2</action>").done
    assert env.reward == 1.0
    env.close()
