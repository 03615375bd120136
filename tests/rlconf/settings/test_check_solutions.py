"""`sampling`, `demonstrations`, and parts that a method has no use for."""

import dataclasses

import pytest

from data.solutions import ballot
from rewards.errors import ConfigError
from rlconf.settings.check import check
from rlconf.settings.compose import compose
from rlconf.settings.help import attribute_lines
from rlconf.settings.schema import VoteSection


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("n", 0, "sampling.n=0: expected 1 or more"),
        ("batch_size", 0, "sampling.batch_size=0"),
        ("limit", 0, "sampling.limit=0"),
        ("max_new_tokens", 0, "sampling.max_new_tokens=0"),
        ("temperature", 0.0, "equal solutions show nothing"),
        ("top_p", 0.0, "expected 0 < top_p <= 1"),
        ("path", "solutions.json", "ends with .parquet"),
    ],
)
def test_sampling(key, value, text):
    config = compose([])
    changed = dataclasses.replace(config.sampling, **{key: value})
    (problem,) = check(dataclasses.replace(config, sampling=changed))
    assert text in problem.text
    assert problem.keys == (f"sampling.{key}",)


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        compose(overrides)
    return str(error.value)


def test_sft_has_no_use_for_a_shaper():
    assert refused("trainer=sft", "shaper=[ucas]") == (
        "shaper=[ucas] and trainer=sft: supervised training has no advantages to shape; set "
        "shaper=[]"
    )


def test_grpo_has_no_use_for_demonstrations():
    assert "choose trainer=sft" in refused("demonstrations.max_per_question=2")


def test_demonstrations():
    assert "rlconf sample sampling.path=no.parquet" in refused(
        "trainer=sft", "demonstrations.path=no.parquet"
    )
    text = refused("trainer=sft", "demonstrations.path=no.parquet", "demonstrations.column=a")
    assert "leave column and template out" in text
    assert "expected {answer}" in refused("trainer=sft", "demonstrations.template=yes")
    assert "expected 1 or more" in refused("trainer=sft", "demonstrations.max_per_question=0")


def test_the_trees_recipes_fit_sft_and_a_persons_settings_are_checked():
    config = compose(["trainer=sft", "debug=fast"])
    assert config.trainer["method"] == "sft"
    assert config.trainer["max_steps"] == 3
    assert "num_generations" not in config.trainer
    text = refused("trainer=sft", "trainer.num_generations=4", "trainer.packng=true")
    assert "trainer=sft has no such setting, it belongs to trainer=grpo" in text
    assert "did you mean trainer.packing?" in text


def test_a_setting_without_its_section_is_looked_for_in_the_methods_own():
    assert "did you mean trainer.packing?" in refused("trainer=sft", "packing=true")
    assert "did you mean trainer.beta?" in refused("beta=0.1")


def test_pairs_and_rounds():
    text = refused(
        "pairs.top_k=0",
        "pairs.max_uses=0",
        "pairs.file=p.json",
        "crew_dpo.iterations=0",
        "crew.locator=regex",
        "pairs.gap=sgined",
    )
    for part in (
        "pairs.top_k=0: expected 1 or more",
        "pairs.max_uses=0: expected 1 or more",
        "pairs.file=p.json: expected a name that ends with .parquet",
        "crew_dpo.iterations=0: expected 1 or more",
        "how=regex needs a pattern",
        "did you mean signed?",
    ):
        assert part in text


def test_dpo_has_no_use_for_shapers_demonstrations_or_a_moving_reference():
    text = refused(
        "trainer=dpo",
        "shaper=[ucas]",
        "demonstrations.max_per_question=2",
        "trainer.sync_ref_model=true",
        "trainer.num_generations=4",
    )
    assert "trainer=dpo: DPO has no advantages to shape; set shaper=[]" in text
    assert "the trainer learns from pairs: choose trainer=sft" in text
    assert "a moving reference is not in the checkpoints" in text
    assert "trainer=dpo has no such setting, it belongs to trainer=grpo" in text
    assert compose(["trainer=dpo", "debug=fast"]).trainer["max_length"] is None


def test_help_names_every_option_of_voting_methods():
    about = attribute_lines(VoteSection)["options"]
    shipped = [m for m in map(ballot.get, ballot.names()) if m.function.__module__[:5] == "data."]
    named = {f"`{method.name}.{key}`" for method in shipped for key in method.options}
    assert len(named) == 4
    assert all(name in about for name in named)


def test_options_of_voting_methods():
    config = compose(["vote=cisc", "vote.options.cisc.temperature=1"])
    assert config.vote.options == {"cisc": {"temperature": 1}}
    voting = "vote.methods=[majority,cisc,star]"
    text = refused(
        voting,
        "vote.options.cisc.temprature=0.1",
        "vote.options.cisc.power=2",
        "vote.options.majority.power=2",
        "vote.options.star.weights=[1,1]",
        "vote.options.cics.temperature=1",
        "vote.options.borda.power=1",
        "judge.deepconf_window=0",
    )
    for part in (
        "vote.options.cisc.temprature: cisc has no such option; did you mean "
        "vote.options.cisc.temperature? (its options: measure, temperature)",
        "vote.options.cisc.power: cisc has no such option, borda does",
        "vote.options.majority.power: majority has no such option, borda does (its options: none)",
        "vote.options.star.weights=[1, 1]: expected tuple of float, float, float",
        "vote.options.cics: there is no such voting method; did you mean cisc?",
        "vote.options.borda is set and borda does not vote: add it, "
        "vote.methods=[majority,cisc,star,borda]",
        "judge.deepconf_window=0: expected 1 or more",
    ):
        assert part in text
    assert refused(voting, "vote.options.cisc.temperature=0") == (
        "vote.options.cisc: temperature=0: expected more than 0"
    )
