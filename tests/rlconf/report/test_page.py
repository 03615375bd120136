"""The page as a whole: figures, groups, determinism, and the promise of being self-contained."""

from __future__ import annotations

import re

import pytest

from rlconf.report import headline, write_report
from rlconf.report.diff import group
from rlconf.report.load import load


def text(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_one_run_has_its_figures_with_intervals(make_run, tmp_path):
    page = text(write_report([make_run("a")], tmp_path / "r.html").read_text())
    for shown in (
        "Accuracy before training 0.100 95 % interval 0.050 to 0.150",
        "Accuracy after 0.900 +0.800; 95 % interval 0.850 to 0.950",
        "Optimiser steps 30",
        "Completions sampled 240",
        "Training time 12 s 0.417 s a step",
        "Model tiny GRPO + ucas on sort",
        "format 0.500 1 → 1 format: tags 0.750 → 0.750",
        "seed 0, finished",
        "trl==1.16.0",
    ):
        assert shown in page, shown


def test_several_configurations_are_compared(make_run, tmp_path):
    runs = [make_run(f"a{seed}", seed=seed, after=0.8 + seed / 10) for seed in range(2)]
    runs.append(make_run("b", shaper={}))
    page = text(write_report(runs, tmp_path / "r.html").read_text())
    assert "A shaper=ucas 0, 1 0.100 0.850 (0.800 to 0.900) +0.750 30 12 s" in page
    assert "B shaper=none 0 0.100 0.900 (0.850 to 0.950) +0.800 30 12 s" in page
    assert "shaper ucas none" in page
    assert "A shaper=ucas (2 seeds)" in page


def test_a_run_that_was_not_evaluated_shows_what_training_logged(make_run):
    folder = make_run("a")
    (folder / "evaluation.json").unlink()
    first = headline.cards(group([load(folder)])[0])[0]
    assert (first.name, first.value) == ("Accuracy on training prompts", "0.967")
    assert first.note == "last tenth of training; first tenth 0.067"


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"per_device_train_batch_size": 8}, 8),
        ({"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}, 32),
        ({"per_device_train_batch_size": 8, "steps_per_generation": 2}, 16),
        ({"per_device_train_batch_size": 8, "generation_batch_size": 64}, 64),
        ({"method": "sft", "per_device_train_batch_size": 8}, None),
        ({}, None),
    ],
)
def test_the_size_of_a_generation_batch(make_run, settings, size):
    assert headline.batch_size(load(make_run("a", trainer=settings))) == size


def test_nothing_on_the_page_points_elsewhere(make_run, tmp_path):
    page = write_report([make_run("a")], tmp_path / "r.html").read_text()
    assert (
        re.findall(r"(?:src|srcset|action|formaction|data|poster)=", page.split("<script>")[0])
        == []
    )
    assert set(re.findall(r'href="([^"]*)"', page)) == {
        "#curves",
        "#figures",
        "#reward",
        "#samples",
        "#series",
        "#setup",
    }
    assert "url(" not in page.replace("url(#clip-", "")
    assert "@import" not in page
    assert re.search(r"default-src &#39;none&#39;|default-src 'none'", page)


def test_ids_are_used_once(make_run, tmp_path):
    runs = [make_run("a"), make_run("b", shaper={})]
    page = write_report(runs, tmp_path / "r.html").read_text()
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_the_same_runs_give_the_same_page(make_run, tmp_path):
    folder = make_run("a")
    one, two = (write_report([folder], tmp_path / name).read_text() for name in ("1", "2"))
    strip = re.compile(r"Written [^<]* by")
    assert strip.sub("", one) == strip.sub("", two)
