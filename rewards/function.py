"""A reward function with a name, options and checks, that TRL takes like any other.

`reward` (decorator), `get`, `names` and `spec` are what the package exports; the rest of this file
turns the call that TRL makes into the call that the function asked for.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol, cast, get_type_hints

from rewards import isolation
from rewards.conversation import completion_messages, completion_text
from rewards.errors import ConfigError, RewardError
from rewards.isolation import SETTING_TYPES, Isolation
from rewards.options import check_options
from rewards.registry import Registry, did_you_mean, file_of, place_of
from rewards.values import Values, check_values

# What TRL 1.16 passes to every reward function beside the columns of the data set.
TRL_KEYWORDS = frozenset(
    {
        "prompts",
        "completions",
        "completion_ids",
        "trainer_state",
        "log_extra",
        "log_metric",
        "environments",
    }
)
# What this module makes for a function that has a parameter of that name.
OUR_KEYWORDS = frozenset({"messages", "log_part"})

# What `OnlineTrainer` computes for a reward that declares it, one value per completion.
SIGNALS = MappingProxyType(
    {
        "answer_log_probs": "log-probs of the answer's tokens at temperature 1; None without one",
        "correctness": "value of the reward that the option `gate` names, else of the first",
        "log_prob": "log-prob of each token at temperature 1, nats",
        "certainty": "KL(U || policy) at each token, nats",
        "chosen_logit": "raw logit of each token",
    }
)


# Keys of every reward's section in a configuration, so that no option can have such a name.
_EVERY_REWARDS = {
    "weight": "what the whole reward counts beside others",
    "decay": "over how many generations its weight falls to 0",
}


@dataclass(frozen=True)
class RewardSpec:
    """What is known of a reward function before it is called.

    Attributes:
        name: its name on the command line and in metrics.
        needs: columns of the data set that it cannot do without.
        reads: columns that it reads where the data set has them.
        range: lowest and highest value, both included; None if nothing is promised.
        signals: what the trainer has to compute of the model for it, among `SIGNALS`.
        options: keyword option -> value used when the call says nothing.
        option_types: keyword option -> annotation (`Any` where there is none).
        module: the module that it was written in.
        file: `file:line`, or the module's name where there is no file.
        doc: its docstring.
        required: parameters without a default.
        isolation: how it runs in worker processes; None if it runs in the trainer's.
    """

    name: str
    needs: tuple[str, ...]
    range: tuple[float, float] | None
    signals: tuple[str, ...]
    options: Mapping[str, Any]
    option_types: Mapping[str, Any]
    module: str
    file: str
    doc: str
    required: tuple[str, ...] = ()
    isolation: Isolation | None = None
    reads: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        """Name and place, for error texts."""
        return f"reward {self.name!r} ({self.file})"

    @property
    def setting_types(self) -> Mapping[str, Any]:
        """Annotations of everything that `get` takes: options, and how the reward is isolated."""
        return {**SETTING_TYPES, **self.option_types}


class RewardFunction(Protocol):
    """A function that TRL accepts in `reward_funcs`, and that knows its own specification."""

    __name__: str
    spec: RewardSpec
    bind: Callable[..., RewardFunction]

    def __call__(self, *args: Any, **kwargs: Any) -> Values:
        """Score completions; see `reward`."""
        ...


REWARDS: Registry[RewardFunction] = Registry("reward")


def reward(
    name: str,
    *,
    needs: tuple[str, ...] = (),
    reads: tuple[str, ...] = (),
    range: tuple[float, float] | None = None,
    signals: tuple[str, ...] = (),
    check: Callable[..., None] | None = None,
    isolated: bool | Isolation = False,
) -> Callable[[Callable[..., Any]], RewardFunction]:
    """Register a reward function under a name; it stays usable by itself and in plain TRL.

    The decorated function may be called by hand, `exact(["4"], answer=["4"])`, or by TRL with
    everything that TRL passes. It receives the keywords that it accepts and no others:

    - `completions`: B texts. Of a chat, the last assistant turn with its thinking restored.
    - `messages`: B lists of messages, for a function that wants the turns.
    - `prompts`, `completion_ids`, `trainer_state`, ...: as TRL passes them.
    - columns of the data set: parameters without a default, and those named in `needs`.
    - `log_part(part, values)`: logs one part of a composite reward, a number or None per
      completion, as the column `NAME/part` of the completions table and the metric
      `rewards/NAME/part` (mean over the scored); does nothing outside a trainer.
    - options: the remaining parameters with a default, set by `reward.NAME.OPTION=...`.

    What it returns must be one finite number, or None, per completion. It may be `async`.

    Args:
        name: a letter, then letters, digits and underscores.
        needs: columns that it cannot do without, beyond those without a default.
        reads: parameters with a default that are columns too, passed where the data set has them.
        range: lowest and highest value that it may return, both included.
        signals: what it receives of the model as keywords, a list with one entry per completion,
            among `SIGNALS`; computed by `OnlineTrainer`.
        check: called with all options as keywords whenever some are set; raises
            `ConfigError` if the values do not go together.
        isolated: run it in worker processes, one completion at a time, under these limits (True:
            those of `Isolation()`), for a function that may hang, crash or fill the memory.

    Raises:
        ConfigError: the name is taken, the signature cannot be called with keywords, or it cannot
            be isolated.
    """

    def decorate(function: Callable[..., Any]) -> RewardFunction:
        caller = _Caller.of(function, name, needs, reads, range, signals, check)
        if isolated:
            caller = caller.isolated(isolated if isinstance(isolated, Isolation) else Isolation())
        wrapped = caller.wrap()
        REWARDS.register(name, wrapped, place=place_of(function))
        return wrapped

    return decorate


def get(name: str, **options: Any) -> RewardFunction:
    """Return the reward function called `name`, with options set.

    Args:
        name: as registered.
        options: of the function; and `isolated`, `timeout`, `memory_gib`, `workers`, `on_failure`
            (see `Isolation`).

    Raises:
        ConfigError: no such reward, no such option, or a value of the wrong type.
    """
    return REWARDS.get(name).bind(**options)


def names() -> tuple[str, ...]:
    """Every registered reward, sorted."""
    return REWARDS.names()


def spec(name: str) -> RewardSpec:
    """What is known of the reward function called `name`.

    Raises:
        ConfigError: there is none of that name.
    """
    return REWARDS.get(name).spec


@dataclass(frozen=True)
class _Caller:
    """Everything needed to call one reward function and to check what it gives back."""

    function: Callable[..., Any]
    spec: RewardSpec
    positional: tuple[str, ...]
    accepted: frozenset[str]
    takes_any: bool
    check: Callable[..., None] | None

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        name: str,
        needs: tuple[str, ...],
        reads: tuple[str, ...],
        bounds: tuple[float, float] | None,
        signals: tuple[str, ...],
        check: Callable[..., None] | None,
    ) -> _Caller:
        """Read the signature of `function`."""
        parameters = inspect.signature(function).parameters.values()
        declared: dict[str, object] = {"needs": needs, "reads": reads, "signals": signals}
        for key, value in declared.items():
            if isinstance(value, str):
                raise ConfigError(
                    f"reward {name!r}: {key}={value!r} is a string; write ({value!r},)."
                )
        unknown = [signal for signal in signals if signal not in SIGNALS]
        if unknown:
            raise ConfigError(
                f"reward {name!r} declares the signal {unknown[0]!r}. "
                f"{did_you_mean(unknown[0], SIGNALS)}"
            )
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ConfigError(f"reward {name!r}: range={bounds!r} does not run from low to high.")
        for p in parameters:
            if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL):
                raise ConfigError(
                    f"reward {name!r}: parameter {p.name!r} cannot be passed by keyword, which is "
                    "how TRL calls a reward function. Make it an ordinary parameter."
                )
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        plain = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
        accepted = frozenset(p.name for p in plain)
        for key in (*needs, *reads, *signals):
            if key not in accepted and not takes_any:
                raise ConfigError(
                    f"reward {name!r} declares that it needs {key!r} but has no parameter of that "
                    f"name. It has: {', '.join(sorted(accepted)) or 'none'}."
                )
        own = TRL_KEYWORDS | OUR_KEYWORDS | set(signals)
        columns = [p.name for p in plain if p.default is p.empty and p.name not in own]
        needs = tuple(dict.fromkeys((*needs, *columns)))
        taken = own | set(needs) | set(reads)
        options = {p.name: p.default for p in plain if p.name not in taken}
        for key, meaning in _EVERY_REWARDS.items():
            if key in options:
                raise ConfigError(
                    f"reward {name!r} has an option {key!r}, but reward.{name}.{key} is {meaning}. "
                    "Give the option another name."
                )
        hints = _hints(function)
        place = place_of(function)
        return cls(
            function=function,
            spec=RewardSpec(
                name=name,
                needs=needs,
                range=bounds,
                signals=tuple(signals),
                options=MappingProxyType(options),
                option_types=MappingProxyType({key: hints.get(key, Any) for key in options}),
                module=place.partition(" ")[0],
                file=file_of(place),
                doc=inspect.getdoc(function) or "",
                required=tuple(p.name for p in plain if p.default is p.empty),
                reads=tuple(reads),
            ),
            positional=tuple(p.name for p in plain if p.kind is p.POSITIONAL_OR_KEYWORD),
            accepted=accepted,
            takes_any=takes_any,
            check=check,
        )

    @property
    def owner(self) -> str:
        """Name and place, for error texts."""
        return self.spec.owner

    def isolated(self, how: Isolation) -> _Caller:
        """The same, in worker processes."""
        isolation.check_can_be_isolated(self.spec, self.owner)
        isolation.check_failure_value(self.spec, how, self.owner)
        return replace(self, spec=replace(self.spec, isolation=how))

    def wrap(self) -> RewardFunction:
        """Make the function that is registered and handed to TRL."""
        how = self.spec.isolation
        if how is not None:

            @functools.wraps(self.function)
            def call_isolated(*args: Any, **kwargs: Any) -> Values:
                arguments, count = self.arguments(args, kwargs)
                return isolation.run(self.spec, how, arguments, count, kwargs.get("log_metric"))

            wrapped: Any = call_isolated
        elif inspect.iscoroutinefunction(self.function):

            @functools.wraps(self.function)
            async def call_async(*args: Any, **kwargs: Any) -> Values:
                arguments, count = self.arguments(args, kwargs)
                return self.checked(await cast(Awaitable[Any], self.run(arguments)), count)

            wrapped = call_async
        else:

            @functools.wraps(self.function)
            def call(*args: Any, **kwargs: Any) -> Values:
                arguments, count = self.arguments(args, kwargs)
                return self.checked(self.run(arguments), count)

            wrapped = call
        wrapped.__name__ = self.spec.name  # TRL names its metrics and columns after this
        wrapped.spec = self.spec
        wrapped.bind = self.bind
        return cast(RewardFunction, wrapped)

    def bind(self, **options: Any) -> RewardFunction:
        """Return the same reward function with other values for some of its settings."""
        own = self.spec.options.keys()
        ours = {key: options.pop(key) for key in SETTING_TYPES if key in options.keys() - own}
        spec = replace(
            self.spec,
            options=self.options(options),
            isolation=isolation.configured(self.spec, ours, self.owner),
        )
        return replace(self, spec=spec).wrap()

    def options(self, changed: Mapping[str, Any]) -> Mapping[str, Any]:
        """All options, some of them changed; checked one by one and together."""
        checked = check_options(self.owner, changed, self.spec.option_types)
        merged = MappingProxyType({**self.spec.options, **checked})
        if checked and self.check is not None:
            self.check(**merged)
        return merged

    def arguments(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[dict[str, Any], int]:
        """Turn a call by TRL or by hand into the keywords of the function, and the row count."""
        if len(args) > len(self.positional) or set(self.positional[: len(args)]) & set(kwargs):
            raise TypeError(
                f"{self.owner} takes the positional arguments {', '.join(self.positional)}, each "
                "of them once."
            )
        given = {**dict(zip(self.positional, args, strict=False)), **kwargs}
        completions = given.get("completions", given.get("messages"))
        if not isinstance(completions, list | tuple):
            raise RewardError(
                f"{self.owner} was called with completions={completions!r:.60}; expected a list of "
                "texts, or of message lists."
            )
        arguments = {k: v for k, v in given.items() if self.takes_any or k in self.accepted}
        arguments.update(self._options_in(given))
        self._require_columns(given, len(completions))
        if self.takes_any or "completions" in self.accepted:
            arguments["completions"] = self._read(completion_text, completions)
        if "messages" in self.accepted:
            arguments["messages"] = self._read(completion_messages, completions)
        if "log_part" in self.accepted:
            arguments["log_part"] = self._log_part(given, len(completions))
        missing = [key for key in self.spec.required if key not in arguments]
        if missing:
            raise RewardError(
                f"{self.owner} needs {', '.join(missing)}, which a trainer passes; give it by hand "
                "when calling the function by itself."
            )
        return arguments, len(completions)

    def run(self, arguments: dict[str, Any]) -> Any:
        """Call the function; whatever it raises says in a note which reward it was."""
        try:
            return self.function(**arguments)
        except Exception as error:
            error.add_note(f"Raised by the {self.owner}.")
            raise

    def checked(self, values: object, count: int) -> Values:
        """Check what the function returned."""
        return check_values(self.owner, values, count, self.spec.range)

    def _options_in(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options of this call: those set before, and those given by hand."""
        changed = {key: value for key, value in given.items() if key in self.spec.options}
        if changed and "trainer_state" in given:  # a trainer passes columns, never options
            raise RewardError(
                f"{self.owner} has the option {next(iter(changed))!r}, and the data set has a "
                "column of that name. Rename or drop the column."
            )
        return self.options(changed)

    def _require_columns(self, given: Mapping[str, Any], count: int) -> None:
        """Raise unless every needed column and signal is there, with one row per completion."""
        for signal in self.spec.signals:
            if given.get(signal) is None:
                raise RewardError(
                    f"{self.owner} needs the signal {signal!r}, which TRL's own trainers do not "
                    "compute: train with rlconf.OnlineTrainer, or pass it by hand."
                )
        columns = sorted(set(given) - TRL_KEYWORDS - OUR_KEYWORDS - set(self.spec.options))
        present = [name for name in self.spec.reads if given.get(name) is not None]
        for column in (*self.spec.needs, *present):
            if column not in given:
                raise RewardError(
                    f"{self.owner} needs the column {column!r}; the columns are: "
                    f"{', '.join(columns) or 'none'}. Add it to the data set, or rename one to it."
                )
            values = given[column]
            if isinstance(values, str) or not hasattr(values, "__len__") or len(values) != count:
                raise RewardError(
                    f"{self.owner} got {column}={values!r:.60}; expected a list of {count}, one "
                    "per completion."
                )

    def _read(self, read: Callable[[Any], Any], completions: Sequence[Any]) -> list[Any]:
        """Read every completion as text or as messages."""
        result = []
        for row, completion in enumerate(completions):
            try:
                result.append(read(completion))
            except TypeError as error:
                raise RewardError(f"{self.owner}, row {row}: {error}.") from error
        return result

    def _log_part(self, given: Mapping[str, Any], count: int) -> Callable[[str, Any], None]:
        """Make the `log_part` of one call."""
        log_extra, log_metric = given.get("log_extra"), given.get("log_metric")

        def log_part(part: str, values: Any) -> None:
            checked = check_values(f"{self.owner}, part {part!r}", values, count)
            scored = [value for value in checked if value is not None]
            if log_extra is not None:
                log_extra(f"{self.spec.name}/{part}", checked)
            if log_metric is not None and scored:
                log_metric(f"rewards/{self.spec.name}/{part}", sum(scored) / len(scored))

        return log_part


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations, evaluated; none at all if one cannot be (its name imported for typing only)."""
    try:
        return get_type_hints(function)
    except (NameError, AttributeError, TypeError):
        return {}
