"""From the command line to a checked `Config`.

Hydra's Compose API puts the chosen files together; single settings are laid over the result, read
into the typed sections of `rlconf.settings.schema` and checked. Every mistake, whichever stage
finds it, is in the one `ConfigError` that is raised. Nothing here loads a model.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from rewards.errors import ConfigError
from rlconf.files import storage, write_text
from rlconf.redact import REDACTED, is_secret_name, redact
from rlconf.settings import plugins as plugin_files
from rlconf.settings import tree, trl_fields, trust
from rlconf.settings.check import check
from rlconf.settings.fields import inner_section, read_section
from rlconf.settings.overrides import Overrides, read_overrides
from rlconf.settings.problems import Problem, nearest, raise_all
from rlconf.settings.schema import Config, to_dict
from rlconf.settings.stages import without

__all__ = ["compose", "composed", "examine", "load", "save"]

Plain = dict[str, Any]


def compose(
    overrides: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    *,
    base: Path | None = None,
) -> Config:
    """Compose and check a configuration.

    Args:
        overrides: `GROUP=CHOICE` and `KEY=VALUE`, as on the command line.
        plugins: Python files to import first, beside those that the overrides and
            `$RLCONF_PLUGINS` name.
        base: a `config.yaml` to start from instead of the tree; then another task and other
            rewards can be chosen, and single settings changed.

    Raises:
        ConfigError: listing everything that is wrong.
    """
    config, problems = examine(overrides, plugins, base=base)
    raise_all(problems)
    return config


def examine(
    overrides: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    *,
    base: Path | None = None,
) -> tuple[Config, list[Problem]]:
    """Compose and check, and return what is wrong instead of raising it.

    Raises:
        ConfigError: a plug-in or `base` cannot be read.
    """
    values, problems = composed(overrides, plugins, base=base)
    config, found = read_section(Config, values, "")
    problems += found
    wrong = {key for problem in problems for key in problem.keys}
    problems += [problem for problem in check(config) if not wrong.intersection(problem.keys)]
    return config, problems


def composed(
    overrides: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    *,
    base: Path | None = None,
) -> tuple[Plain, list[Problem]]:
    """Put the tree and the overrides together, unchecked: what `--cfg` prints.

    Raises:
        ConfigError: a plug-in or `base` cannot be read.
    """
    named = [value for text in overrides for value in plugin_files.named_in(text)]
    paths = plugin_files.import_all([*plugins, *named])
    rest = [text for text in overrides if not plugin_files.named_in(text)]
    chosen, problems = read_overrides(rest)
    if base is None:
        config = _from_tree(chosen)
        problems += _same_name_twice(chosen)
    else:
        recorded = _read_yaml(base)
        problems += _plugins_missing(recorded, paths)
        config = OmegaConf.create(recorded)
        problems += [_not_on_base(g, base) for g in chosen.groups if g not in tree.REPLACEABLE]
        _replace_sections(config, chosen)
    problems += _lay_over(config, chosen.values)
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        problems.append(Problem(f"an interpolation cannot be resolved: {_first_line(error)}"))
        values = OmegaConf.to_container(config, resolve=False)
    assert isinstance(values, dict)
    values = _in_order(values | {"plugins": [str(path) for path in paths]})
    problems += [*trust.code_named(values), *trust.secrets_passed_on(values)]
    if base is not None:
        problems += trust.redacted_values(values, base)
        problems += trust.remote_code(values, base, [key for key, _ in chosen.values])
    return values, problems


def save(config: Config, path: Path) -> None:
    """Write a configuration as YAML, to be read by `load` and by people.

    A secret that a variable of the environment holds is written as a reference to it, any other
    as `<redacted>`: whoever uses the file has to have the one or to give the other again.

    Raises:
        StorageError: the file cannot be written; one that was there is as it was.
    """
    plain = to_dict(config)
    shown = _with_references(plain, redact(plain))
    with storage(path, "Make room, or choose another place: run.root=FOLDER or run.dir=FOLDER."):
        write_text(path, OmegaConf.to_yaml(OmegaConf.create(shown)))


def load(path: Path) -> Config:
    """Read what `save` wrote; plug-ins that it names are not imported.

    Raises:
        ConfigError: the file is missing or does not hold a configuration of this version.
    """
    values = _read_yaml(path)
    config, problems = read_section(Config, values, "")
    raise_all([*problems, *trust.code_named(values)])
    return config


def _with_references(plain: Any, shown: Any) -> Any:
    """`shown` with a reference in place of each secret that is the value of a variable."""
    if isinstance(plain, Mapping) and isinstance(shown, Mapping):
        return {key: _with_references(plain[key], shown[key]) for key in shown}
    if shown == REDACTED and isinstance(plain, str):
        held = [n for n, value in os.environ.items() if value == plain and is_secret_name(n)]
        return f"${{oc.env:{held[0]}}}" if held else shown
    return shown


def _from_tree(chosen: Overrides) -> DictConfig:
    """Hydra's part: the files of the chosen groups, merged in the order of the root's list."""
    arguments = [f"{group}={_as_argument(choice)}" for group, choice in chosen.groups.items()]
    try:
        with initialize_config_dir(str(tree.CONF.resolve()), job_name="rlconf", version_base="1.3"):
            config = hydra_compose("config", arguments)
    except HydraException as error:
        text = f"the configuration tree cannot be composed: {_first_line(error)}"
        raise ConfigError(text) from error
    OmegaConf.set_struct(config, False)
    for group in tree.LIST_GROUPS:  # an empty list leaves the section out
        if group not in config:
            config[group] = {}
    config.trainer = trl_fields.fitting(config.trainer)
    for group in tree.NULLABLE:
        if chosen.groups.get(group) == "none":  # whatever an experiment says of it
            config[group] = None
    debug = chosen.groups.get("debug")
    if debug not in (None, "null") and OmegaConf.select(config, "curriculum.stages"):
        names = OmegaConf.select(OmegaConf.load(tree.CONF / "debug" / f"{debug}.yaml"), "trainer")
        stages = OmegaConf.to_container(config.curriculum.stages)
        config.curriculum.stages = without(stages, names or {})
    return config


def _as_argument(choice: str | list[str]) -> str:
    return f"[{','.join(choice)}]" if isinstance(choice, list) else choice


def _lay_over(config: DictConfig, values: Sequence[tuple[str, Any]]) -> list[Problem]:
    """Apply single settings; one for a part that is not chosen must not switch the part on."""
    problems = []
    for key, value in values:
        section, _, rest = key.partition(".")
        name = rest.partition(".")[0]
        if section in tree.LIST_GROUPS and name not in config[section]:
            problems.append(_not_chosen(config, section, name, key))
            continue
        if (
            section in tree.LIST_GROUPS
            and key == f"{section}.{name}"
            and not isinstance(value, Mapping)
        ):
            text = f"{key}={value}: expected options, such as {key}.KEY=VALUE"
            problems.append(Problem(text, (key,)))
            continue
        if key.startswith("peft.") and config.get("peft") is None:
            problems.append(Problem(f"{key} is set but there is no adapter: add peft=lora", (key,)))
            continue
        if section in tree.NULLABLE and rest and config.get(section) is None:
            text = f"{key} is set but there is no {section}: add {section}={tree.NULLABLE[section]}"
            problems.append(Problem(text, (key,)))
            continue
        if (
            not rest
            and key not in config
            and (homes := _homes(key, trl_fields.method_of(config.trainer)))
        ):
            text = f"{key}: there is no such setting; did you mean {' or '.join(homes)}?"
            problems.append(Problem(text, (key,)))
            continue
        try:
            OmegaConf.update(config, key, value, force_add=True)
        except (OmegaConfBaseException, TypeError, ValueError) as error:
            problems.append(Problem(f"{key}: {_first_line(error)}", (key,)))
    return problems


def _homes(name: str, method: str) -> list[str]:
    """The sections that have a setting of this name, for one given without its section."""
    sections = {key: hint for key, hint in get_type_hints(Config).items() if inner_section(hint)}
    fields = {key: get_type_hints(inner_section(hint)) for key, hint in sections.items()}
    known = {**fields, "trainer": trl_fields.types(method)}
    return [f"{section}.{name}" for section, names in known.items() if name in names]


def _not_chosen(config: DictConfig, group: str, name: str, key: str) -> Problem:
    """The sentence for `shaper.ucas.beta=0.05` without `shaper=[ucas]`."""
    chosen = [str(choice) for choice in config[group]]
    known = [*chosen, *tree.choices(group)]
    if name not in known:
        kind = tree.one_of(group)
        return Problem(f"{key}: there is no {kind} {name!r}{nearest(name, known)}", (key,))
    wanted = ",".join([*chosen, name])
    if group == "reward" and not chosen:  # then the task's own rewards are what counts
        text = (
            f"{key} is set but {name} is not chosen: add reward=[{name}]; the task's own rewards "
        )
        return Problem(f"{text}count then only if they are listed too", (key,))
    return Problem(f"{key} is set but {name} is not chosen: add {group}=[{wanted}]", (key,))


def _same_name_twice(chosen: Overrides) -> list[Problem]:
    """Two presets of one part, as in `shaper=[ucas,ucas_release]`: the later would win silently."""
    problems = []
    for group, names in chosen.groups.items():
        fills: dict[str, str] = {}
        for name in names if isinstance(names, list) else []:
            path = tree.CONF / group / f"{name}.yaml"
            for part in map(str, OmegaConf.load(path) if path.exists() else [name]):
                if part in fills:
                    text = f"{group}=[{fills[part]},{name}]: both set {group}.{part}, choose one"
                    problems.append(Problem(text, (group,)))
                fills[part] = name
    return problems


def _replace_sections(config: DictConfig, chosen: Overrides) -> None:
    """Put the chosen task and rewards into a recorded configuration, in place of its own.

    What belonged to the former task goes with it: its rewards and its environment, unless others
    are chosen, and the length of its answers.
    """
    groups = {group: chosen.groups[group] for group in tree.REPLACEABLE if group in chosen.groups}
    if not groups:
        return
    fresh = _from_tree(Overrides(groups=groups))
    for group in groups:
        config[group] = fresh[group]
    if "task" in groups:
        for group in ("reward", "environment"):
            if group not in groups:
                config[group] = {}  # the task's own
        for key in ("trainer.max_completion_length", "evaluate.max_new_tokens"):
            if OmegaConf.select(config, key) is not None:
                OmegaConf.update(config, key, None)


def _not_on_base(group: str, base: Path) -> Problem:
    *others, last = tree.REPLACEABLE
    return Problem(
        f"{group}=...: {base} is already composed, so beside {', '.join(others)} and {last} only "
        f"single settings can be changed, such as {group}.KEY=VALUE",
        (group,),
    )


def _plugins_missing(recorded: Plain, imported: Sequence[Path]) -> list[Problem]:
    """A recorded configuration names its plug-ins, and importing them is the user's decision."""
    named = [str(path) for path in recorded.get("plugins") or []]
    missing = [path for path in named if Path(path) not in imported]
    if not missing:
        return []
    text = f"the run used plug-ins that this command does not name: add plugins=[{','.join(named)}]"
    return [Problem(text, ("plugins",))]


def _read_yaml(path: Path) -> Plain:
    try:
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except InterpolationResolutionError as error:
        raise ConfigError(f"{path}: {_first_line(error)}") from error
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; expected a run's config.yaml") from None
    except Exception as error:  # YAML's errors have no common base that OmegaConf exposes
        raise ConfigError(f"{path} cannot be read as YAML: {_first_line(error)}") from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: expected a mapping of sections, got {type(values).__name__}")
    return {str(key): value for key, value in values.items()}


def _in_order(values: Mapping[Any, Any]) -> Plain:
    """The sections in the order of `Config`, unknown ones last."""
    known = [field.name for field in dataclasses.fields(Config) if field.name in values]
    return {str(key): values[key] for key in (*known, *(k for k in values if k not in known))}


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
