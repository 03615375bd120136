"""Pages that show commands are run word for word, in a folder outside the checkout."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder, with the page's file under the name in its first line."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (source,) = blocks("docs/add_a_reward.md", "python")
    name = source.splitlines()[0].removeprefix("# ")
    assert name == "my_rewards.py"
    (folder / name).write_text(source)
    return folder


COMMANDS = "".join(blocks("docs/add_a_reward.md", "console")).splitlines()


def test_the_page_has_a_test_a_check_and_a_training_run() -> None:
    starts = ["python -m pytest", "rlconf validate", "rlconf train"]
    assert [" ".join(line.split()[:2]) for line in COMMANDS] == ["python -m", *starts[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda line: " ".join(line.split()[:2]))
def test_a_command_of_add_a_reward_succeeds(folder: Path, command: str) -> None:
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


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


@pytest.mark.parametrize("task", ["file", "reasoning_gym"])
def test_the_page_on_data_names_every_option_of_the_tasks(task: str) -> None:
    import dataclasses

    from data import tasks

    page = (ROOT / "docs/data.md").read_text()
    options = [field.name for field in dataclasses.fields(tasks.get(task).settings)]
    assert [name for name in options if not re.search(rf"[`.]{name}\b", page)] == []


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
