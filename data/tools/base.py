"""What a tool is, and how one is registered and made.

A tool is a Python function that a chat model calls while it writes. The name, the type hints and
the docstring are what the model is shown:

    @tool("population")
    def population(city: str) -> int:
        '''Look up how many people live in a city.

Args:
            city: Its English name.
        '''
        return CITIES[city]

    make_tool("population")("Paris")  # what the trainer is given: bounded in time, clean in text
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from data.tools.results import ResultLimits, TimeLimit, ToolError, clean_text, error_text
from data.tools.results import result_text as as_text
from rewards.errors import ConfigError
from rewards.options import check_options, check_settings_class
from rewards.registry import Registry, place_of

Function = Callable[..., Any]
Made = TypeVar("Made", bound=Function)


@dataclass(frozen=True)
class ToolSettings(ResultLimits):
    """Settings that every tool has; those of a tool with more derive from this."""


@dataclass(frozen=True)
class ToolSpec:
    """A registered tool.

    Attributes:
        name: The registered name, by which the model calls it.
        make: From the settings to the function.
        settings: The dataclass of its settings.
        keeps_time: Whether it ends by itself within its `timeout`.
        doc: Of whatever was registered.
    """

    name: str
    make: Callable[[Any], Function]
    settings: type[ToolSettings]
    keeps_time: bool
    doc: str


_TOOLS: Registry[ToolSpec] = Registry("tool")


def tool(
    name: str, *, settings: type[ToolSettings] | None = None, keeps_time: bool = False
) -> Callable[[Made], Made]:
    """Register a function under `name`, or with `settings` a maker of one.

    The function has a type hint for every parameter, and a Google docstring that describes the
    function and every parameter; it may be `async`. It is called with keywords.

    Args:
        name: What `tools=[NAME]` finds, and the name that the model sees.
        settings: A dataclass derived from `ToolSettings`. Its fields are the options
            `tools.NAME.FIELD=...`, and what is registered is `make(settings) -> function`.
        keeps_time: The function ends by itself within `settings.timeout`. Otherwise a call that is
            late is left behind in its thread.

    Raises:
        ConfigError: If the name is taken, the settings are no such class, or the model could not be
            told how to call the function.
    """
    own = ToolSettings if settings is None else settings
    check_settings_class("tool", name, own)
    if not issubclass(own, ToolSettings):
        raise ConfigError(f"tool '{name}': {own.__name__} must derive from rlconf.ToolSettings")

    def register(made: Made) -> Made:
        place = place_of(made)
        if settings is None:
            check_signature(name, made)
        make = (lambda _: made) if settings is None else made
        doc = inspect.getdoc(made) or ""
        _TOOLS.register(name, ToolSpec(name, make, own, keeps_time, doc), place=place)
        return made

    return register


def get(name: str) -> ToolSpec:
    """Return the registered tool; an unknown name raises ConfigError with the nearest one."""
    return _TOOLS.get(name)


def names() -> tuple[str, ...]:
    """Return the registered names in alphabetical order."""
    return _TOOLS.names()


def make_tool(name: str, options: Mapping[str, Any] | None = None) -> Function:
    """Make a tool as a trainer takes it, in a list of callables for TRL's `tools=`.

    It returns clean text of a bounded length, and raises nothing but `ToolError`, whose text the
    trainer shows to the model.

    Args:
        name: A registered one.
        options: Of its settings; defaults elsewhere.

    Raises:
        ConfigError: For an unknown name, option or value, or a function that the model could not
            be told how to call.
    """
    spec = get(name)
    owner = f"tool '{name}'"
    given = check_options(owner, options or {}, get_type_hints(spec.settings))
    try:
        settings = spec.settings(**given)
        function = spec.make(settings)
    except ValueError as error:
        raise ConfigError(f"{owner}: {error}") from error
    tool_schema(name, function)
    return bounded(name, function, settings, keeps_time=spec.keeps_time)


def check_signature(name: str, function: Function) -> None:
    """Refuse a function that a model could not be told how to call; imports no transformers.

    Raises:
        ConfigError: A parameter has no type hint or description, cannot be given by keyword or is
            one for all the rest, or there is no docstring.
    """
    owner = f"tool '{name}'"
    if not callable(function):
        raise ConfigError(f"{owner}: expected a function, got {type(function).__name__}")
    doc = inspect.getdoc(function)
    if not doc:
        raise ConfigError(f"{owner} has no docstring: say what it does, the model reads it")
    for one in inspect.signature(function).parameters.values():
        if one.kind not in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
            raise ConfigError(
                f"{owner}: a model calls with keywords, so {one} cannot be given: name every "
                "parameter"
            )
        if one.annotation is one.empty:
            raise ConfigError(f"{owner}: {one.name} has no type hint, such as {one.name}: str")
        if not re.search(rf"^\s+{one.name}\s*(\(.*\))?:\s*\S", doc, re.MULTILINE):
            raise ConfigError(
                f"{owner}: its docstring does not describe {one.name}: add a line {one.name}: ... "
                "under Args:"
            )


def tool_schema(name: str, function: Function) -> dict[str, Any]:
    """The JSON schema of a function, as chat templates show it to the model.

    Raises:
        ConfigError: As from `check_signature`, or a type hint is none that JSON has.
    """
    from transformers.utils import get_json_schema
    from transformers.utils.chat_template_utils import (
        DocstringParsingException,
        TypeHintParsingException,
    )

    owner = f"tool '{name}'"
    check_signature(name, function)
    try:
        schema: dict[str, Any] = get_json_schema(function)
    except (DocstringParsingException, TypeHintParsingException, NameError) as error:
        said = str(error).removeprefix("Cannot generate JSON schema for ")
        raise ConfigError(
            f"{owner}: the model could not be told how to call it: {said}. Use types that JSON "
            "has, and a Google docstring"
        ) from error
    return {**schema, "function": {**schema["function"], "name": name}}


def bounded(
    name: str,
    function: Function,
    limits: ResultLimits,
    *,
    keeps_time: bool = False,
    clock: TimeLimit | None = None,
    ready: Callable[[], None] = lambda: None,
) -> Function:
    """The function under limits, its signature and docstring kept for the schema.

    Args:
        name: By which the model calls it.
        function: Any that `check_signature` lets pass; async stays async.
        limits: Of each call and its result.
        keeps_time: It ends by itself within the time-out.
        clock: That several functions share. None: one of its own.
        ready: Called first; what it raises is the result.
    """
    owner = f"tool '{name}'"
    hints = {key: hint for key, hint in get_type_hints(function).items() if key != "return"}
    parameters = inspect.signature(function)

    def arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        ready()
        given = parameters.bind(*args, **kwargs).arguments
        return check_options(owner, given, hints)

    def failed(error: BaseException) -> ToolError:
        if isinstance(error, ToolError):
            return ToolError(clean_text(str(error), limits.max_characters))
        if isinstance(error, ConfigError):  # of `check_options`, which names the tool
            return ToolError(clean_text(str(error), limits.max_characters))
        return ToolError(error_text(error))

    if inspect.iscoroutinefunction(function):

        async def call_async(*args: Any, **kwargs: Any) -> str:
            try:
                answer = function(**arguments(args, kwargs))
                value = await asyncio.wait_for(answer, limits.timeout)
            except TimeoutError:
                raise ToolError(f"{owner} took longer than {limits.timeout:g} s") from None
            except (Exception, SystemExit) as error:
                raise failed(error) from error
            return as_text(value, limits.max_characters)

        call: Function = call_async
    else:
        watch = None if keeps_time else clock or TimeLimit(limits.timeout, owner)

        def call_in_time(*args: Any, **kwargs: Any) -> str:
            try:
                given = arguments(args, kwargs)
                value = watch.call(function, **given) if watch else function(**given)
            except (Exception, SystemExit) as error:
                raise failed(error) from error
            return as_text(value, limits.max_characters)

        call = call_in_time
    functools.update_wrapper(call, function)
    call.__name__ = call.__qualname__ = name
    return call
