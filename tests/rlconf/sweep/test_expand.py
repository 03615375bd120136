"""One command line becomes many."""

import pytest

from rlconf.sweep.expand import expand


def refused(*arguments: str) -> str:
    jobs, problems = expand(arguments)
    assert jobs == []
    assert len(problems) == 1, problems
    return problems[0].text


def test_every_combination_the_last_key_first():
    jobs, problems = expand(["task=sort", "shaper.ucas.alpha_pos=0,0.25", "seed=range(3)"])
    assert problems == []
    assert [job.overrides[1:] for job in jobs] == [
        [f"shaper.ucas.alpha_pos={alpha}", f"seed={seed}"]
        for alpha in ("0", "0.25")
        for seed in range(3)
    ]
    assert {job.overrides[0] for job in jobs} == {"task=sort"}
    assert jobs[4].name == "4_alpha_pos-0.25_seed-1"
    assert jobs[4].label == "alpha_pos=0.25 seed=1"
    assert jobs[4].chosen == {"shaper.ucas.alpha_pos": "0.25", "seed": "1"}


def test_numbers_are_as_wide_as_the_last_so_that_names_sort():
    jobs, _ = expand(["seed=range(11)"])
    assert [jobs[0].name, jobs[10].name] == ["00_seed-0", "10_seed-10"]


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("x=choice(a,b)", ["x=a", "x=b"]),
        ("x=sort(3,1,2)", ["x=1", "x=2", "x=3"]),
        ("x=range(0,1,0.5)", ["x=0.0", "x=0.5"]),
        ("+trainer.x=1,null", ["+trainer.x=1", "+trainer.x=null"]),
        ("x='a,b','c d'", ["x='a,b'", "x='c d'"]),
        ("reward=[exact],[exact,length]", ["reward=[exact]", "reward=[exact,length]"]),
        ("task=glob(l*)", ["task=largest"]),
        ("task=glob([l*,so*])", ["task=largest", "task=sort"]),
    ],
)
def test_hydras_ways_to_give_several_values(argument: str, values: list[str]):
    jobs, problems = expand([argument])
    assert problems == []
    assert [job.overrides for job in jobs] == [[value] for value in values]


def test_one_value_is_one_job_and_a_list_is_one_value():
    jobs, _ = expand(["seed=3", "reward=[exact,length]"])
    assert [(job.name, job.chosen) for job in jobs] == [("0", {})]


def test_names_are_fit_for_folders_and_keys_that_end_alike_stay_apart():
    jobs, _ = expand(["a.x=[p/q,r],2", "b.x=-1,1"])
    assert jobs[0].name == "0_a.x-p+q+r_b.x--1"
    assert all("/" not in job.name for job in jobs)


def test_what_cannot_be_read_is_left_for_composing_to_explain():
    jobs, problems = expand(["seed=0,1", "a={"])
    assert problems == []
    assert jobs[1].overrides == ["seed=1", "a={"]


def test_what_cannot_be_swept_says_so():
    assert "0.1,0.2 or range(5)" in refused("x=interval(0,1)")
    assert "name the whole sweep" in refused("run.id=a,b")
    assert "add --resume" in refused("resume=auto", "seed=0,1")
    assert "plugins=[a.py,b.py]" in refused("plugins=a.py,b.py")
    assert "holds 1 twice" in refused("seed=1,2,1")
    assert "seed is swept twice" in refused("seed=1,2", "seed=3,4")
    assert refused("task=glob(zz*)").startswith("task=glob(zz*) fits none of arithmetic, ")
