"""docs/tables.md: its script and commands are run, in order, in a folder of the reader's."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

import rewards
from data.tables.templates import OOD, TEMPLATES
from rewards.table import read_reply
from rlconf.cli import main
from rlconf.records.record import read_metrics

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/tables.md").read_text()
HEADINGS = (
    "Idea and equations",
    "Run it",
    "Logged metrics",
    "Implementation details and departures",
    "Results",
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def test_the_five_headings_of_a_method():
    assert tuple(re.findall(r"^## (.+)$", PAGE, re.M)) == HEADINGS


def test_the_templates_are_those_of_the_code_level_by_level():
    rows = dict(re.findall(r"^\| ([1-5]) \| [^|]+ \| (.+) \|$", PAGE, re.M))
    for level, named in rows.items():
        held = re.findall(r"\(`(\w+)`\)", named)
        own = [name for name in re.findall(r"`(\w+)`", named) if name not in held]
        of_level = [name for name, one in TEMPLATES.items() if one.level == int(level)]
        assert set(own) == set(of_level) - set(OOD)
        assert set(held) == set(of_level) & set(OOD)
    assert len(rows) == 5


def test_the_form_on_the_page_earns_the_format_point():
    shown = re.search(r"^    <think>.*?^    </answer>$", PAGE, re.M | re.S)
    assert shown is not None
    text = "\n".join(line[4:] for line in shown[0].splitlines())
    assert read_reply(text).formed
    assert read_reply(text).items == ("12", "Corv")


def test_the_page_names_every_option_and_preset_of_the_rewards():
    options = {name for part in ("exact", "partial", "format") for name in options_of(part)}
    presets = [path.stem for path in (ROOT / "rlconf/conf/reward").glob("table*.yaml")]
    for name in (*options, *presets):
        assert re.search(rf"`\[?{name}\b", PAGE), name


def options_of(part: str) -> list[str]:
    return list(rewards.spec(f"table_{part}").options)


@pytest.mark.slow
def test_from_a_folder_of_csv_files_to_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLCONF_CACHE", str(tmp_path / "cache"))
    (source,) = blocks("python")
    script = tmp_path / source.splitlines()[0].removeprefix("# ")
    script.write_text(source)
    spec = importlib.util.spec_from_file_location("make_tables", script)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert len(list(Path("my_tables").glob("*.csv"))) == 12

    commands = "".join(blocks("console")).splitlines()
    assert [shlex.split(line)[1] for line in commands] == ["inspect", "train", "evaluate"]
    said = []
    for line in commands:
        assert main(shlex.split(line)[1:]) == 0, line
        said.append(capsys.readouterr().out)
    assert "tables: train 7, test 2, dev 1, other domains 2" in said[0]
    for part, weight in (("format", 0.2), ("partial", 0.3), ("exact", 0.5)):
        assert f"table_{part} (weight {weight}): full marks (1) for all" in said[0]
    logged = {name for row in read_metrics(Path("runs/latest/metrics.jsonl")) for name in row}
    on_page = re.findall(r"^\| `(rewards/table_\S+)` \|", PAGE, re.M)
    assert len(on_page) == 6
    assert set(on_page) <= logged
    assert '"split": "ood"' in Path("runs/latest/evaluation.json").read_text()
