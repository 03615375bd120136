"""Pages that show commands are run word for word, in a folder outside the checkout."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlconf.cli import main
from rlconf.settings import plugins

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)


GUIDES = (
    "docs/add_a_reward.md",
    "docs/add_a_task.md",
    "docs/add_a_shaper.md",
    "docs/add_an_environment.md",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder, with the file of each guide under the name in its first line."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for guide in GUIDES:
        (source,) = blocks(guide, "python")
        name = source.splitlines()[0].removeprefix("# ")
        assert name == f"my_{guide.rpartition('_')[2].removesuffix('.md')}s.py"
        (folder / name).write_text(source)
    return folder


def commands(guide: str) -> list[str]:
    return "".join(blocks(guide, "console")).splitlines()


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_has_a_test_a_check_and_a_training_run(guide: str) -> None:
    starts = [" ".join(line.split()[:2]) for line in commands(guide)]
    assert starts[:3] == ["python -m", "rlconf validate", "rlconf train"]
    assert set(starts[3:]) <= {"rlconf train"}


@pytest.mark.parametrize("guide", GUIDES)
def test_what_a_guide_asks_to_write_is_under_30_lines(guide: str) -> None:
    """Lines of code, without the test, blank lines and comments."""
    (source,) = blocks(guide, "python")
    body = source.partition("\ndef test_")[0]
    assert len([line for line in body.splitlines() if line.strip() and line[0] != "#"]) < 30


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, str]]]:
    """`run(command, apart=...)`: its exit status and what it said; in this process or apart."""
    monkeypatch.chdir(folder)
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(command: str, apart: bool) -> tuple[int, str]:
        program, *arguments = shlex.split(command)
        if program == "rlconf" and not apart:
            return main(arguments), "(see above)"
        environment = {**os.environ, "PATH": search}
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    yield run
    for module in [name for name in sys.modules if name.startswith("rlconf_plugin_")]:
        plugins.forget(module)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("guide", "command"), [(guide, line) for guide in GUIDES for line in commands(guide)]
)
def test_a_command_of_a_guide_succeeds(
    run: Callable[..., tuple[int, str]], guide: str, command: str
) -> None:
    # The first guide shows that the commands stand on their own; the others save time.
    status, said = run(command, apart=guide == GUIDES[0])
    assert status == 0, said


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not dead
    assert len(pages) > 5


@pytest.mark.parametrize(
    ("page", "task"),
    [
        ("docs/data.md", "file"),
        ("docs/data.md", "reasoning_gym"),
        ("docs/tables.md", "tables"),
        ("docs/tables.md", "micro_tables"),
    ],
)
def test_a_page_names_every_option_of_its_task(page: str, task: str) -> None:
    import dataclasses

    from data import tasks

    page = (ROOT / page).read_text()
    options = [field.name for field in dataclasses.fields(tasks.get(task).settings)]
    assert [name for name in options if not re.search(rf"[`.]{name}\b", page)] == []


def test_the_page_on_spear_names_every_option_and_filter() -> None:
    import dataclasses

    from trainers import filters
    from trainers.replay import ReplaySettings

    page = (ROOT / "docs/spear.md").read_text()
    options = [field.name for field in dataclasses.fields(ReplaySettings)]
    shipped = [name for name in filters.names() if "drbot" in filters.get(name).function.__module__]
    assert len(shipped) == 5
    assert [name for name in (*options, *shipped) if f"`{name}`" not in page] == []


def test_the_malformed_rows_of_the_page_on_data_are_what_is_said(tmp_path: Path) -> None:
    import json

    from data.tasks import make_task
    from rewards.errors import ConfigError

    text = (ROOT / "docs/data.md").read_text().split("    rlconf: ", 1)[1].split("\n\n")[0]
    lines = [json.dumps({"question": str(n), "answer": f"#### {n}"}) for n in range(7473)]
    lines[11] = json.dumps({"question": "q", "answer": None})
    lines[39] = '{"question": "q" "answer": "#### 1"}'
    lines[96] = json.dumps({"question": "q", "answer": "12 apples"})
    (tmp_path / "questions.jsonl").write_text("\n".join(lines))
    options = {"path": str(tmp_path / "questions.jsonl"), "prompt_column": "question"}
    with pytest.raises(ConfigError) as error:
        make_task("file", {**options, "answer_how": "hash"})
    said = str(error.value).replace(f"{tmp_path}/", "").splitlines()
    page = text.splitlines()
    assert said == [page[0], *(line[4:] for line in page[1:])]


TRAIN = "scripts/slurm/train.sh"


def cluster_commands() -> list[list[str]]:
    """The console commands of the page on clusters and of `train.sh`'s head, as words."""
    lines = "".join(blocks("docs/cluster.md", "console")).replace("\\\n", "").splitlines()
    head = re.findall(r"^#   (.*)$", (ROOT / TRAIN).read_text(), re.M)
    assert len(head) == 2
    return [shlex.split(line) for line in (*lines, *head)]


def test_the_files_that_the_page_on_clusters_starts_exist() -> None:
    words = [word for command in cluster_commands() for word in command]
    files = [word for word in words if word.startswith("scripts/")]
    assert len(files) >= 5
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_the_commands_of_the_page_on_clusters_are_understood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Options are known, all overrides compose, and each run is for the processes it starts with.

    The batch is the paper's on each number of them. vLLM and DeepSpeed count as installed.
    """
    import yaml

    from rlconf.cli import _parse
    from rlconf.settings.compose import compose
    from rlconf.sweep.plan import prepare
    from rlconf.sweep.sbatch import asked, processes

    monkeypatch.setattr("rlconf.settings.check._installed", lambda name: True)
    monkeypatch.setattr("rlconf.settings.check_launch.is_installed", lambda name: True)
    of_script = asked((ROOT / TRAIN).read_text(), {})
    seen = []
    for words in cluster_commands():
        file = words.pop(0).partition("=")[2] if "=" in words[0] else ""
        program, *rest = words
        seen.append(program)
        given = next((n for n, word in enumerate(rest) if word.startswith("scripts/")), 0)
        before, overrides, started = rest[:given], rest[given + 1 :], 1
        if program == "rlconf":
            options = _parse(rest)
            if options.command == "table":
                continue
            overrides = options.overrides
            if getattr(options, "multirun", False):
                plan = prepare(overrides)
                assert len(plan.jobs) == 6  # as the page says
                overrides, started = plan.jobs[0].overrides, processes(of_script)
                assert options.slurm == TRAIN
        elif program == "sbatch":
            own = dict(word.removeprefix("--").split("=") for word in before)
            started = processes({**of_script, **own})
        elif program == "sky":
            task = yaml.safe_load((ROOT / rest[-1]).read_text())
            overrides = task["envs"]["OVERRIDES"].split()
            started = task["num_nodes"] * int(task["resources"]["accelerators"].split(":")[1])
        else:
            started = int(before[-1])
            assert before[-2] in ("--num_processes", "--nproc_per_node")
        config = compose(overrides)
        trainer = config.trainer
        assert config.launch.processes == started, words
        assert Path(file).stem == ("zero3" if config.launch.name == "zero3" else ""), words
        assert "7b" not in config.name or file  # which DDP has no room for
        rows = started * trainer["per_device_train_batch_size"]
        assert rows * trainer["gradient_accumulation_steps"] == 128 * 16, words
        assert rows * trainer["steps_per_generation"] == 512 * 16, words
    assert set(seen) == {"rlconf", "accelerate", "torchrun", "sbatch", "sky"}
