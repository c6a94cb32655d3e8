"""The watching methods of a state and of its context, typed exactly for each path.

The law: what is declared here is what ``zproc.schema.watchable`` and ``zproc.call_when`` do, with the paths of one
model in the place of any text. Paths are grouped by the type of what stands there, because a type checker compares each
overload with all others: grouped, three hundred paths are as quick to check as ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from zproc.codegen.layout import Text
from zproc.codegen.member import method, overloaded
from zproc.codegen.names import Names
from zproc.schema.condition import COMPARING, CONDITIONS

__all__ = ["NAMES", "Watched", "calls", "watchers"]

WITH_VALUE: Final = tuple(name for name in CONDITIONS if name in COMPARING)
"""The conditions that compare what stands at a path with a value."""

WITHOUT_VALUE: Final = tuple(name for name in CONDITIONS if name not in COMPARING)
"""The conditions that look at what stands at a path."""

NAMES: Final = frozenset(
    {"changes", "commits"}
    | {f"{form}when{end}" for form in ("get_", "", "call_") for end in ("", "_change")}
    | {f"{form}when_{each}" for form in ("get_", "", "call_") for each in (*WITH_VALUE, *WITHOUT_VALUE)}
)
"""The names of all these methods."""


@dataclass(frozen=True)
class Watched:
    """What is watched.

    Attributes:
        names: the names of the module.
        model: what the model is called.
        called: what a decorator of the context is called that makes a process.
        path: what the paths are called.
        pattern: what the paths and patterns are called.
        groups: the paths by the type of what stands there: what they are called, and the type.
        whole: likewise the paths of which a change tells the value that stood there.
    """

    names: Names
    model: str
    called: str
    path: str
    pattern: str
    groups: Mapping[str, str]
    whole: Mapping[str, str]

    def own(self, name: str) -> str:
        """Return what something of ``zproc.generated`` is called."""
        return self.names.of("zproc.generated", name)

    def options(self, name: str) -> str:
        """Return the parameter that takes options."""
        return f"**options: {self.names.of('typing', 'Unpack')}[{self.own(name)}]"

    def stream(self, of: str, *, tasks: bool = False) -> str:
        """Return the type of a stream, of threads or of tasks."""
        stream = self.names.of("zproc.aio", "AsyncStream") if tasks else self.names.of("zproc", "Stream")
        return f"{stream}[{of}]"

    def builtin(self, name: str) -> str:
        """Return what a builtin is called."""
        return self.names.builtin(name)


def watchers(watched: Watched, *, tasks: bool = False) -> Iterator[list[str]]:
    """Yield the methods of a state, or those that tasks wait by."""
    model, stream = watched.model, watched.stream(watched.model, tasks=tasks)
    changed = [f"*fields: {watched.pattern}", _exclude(watched), watched.options("Options")]
    yield method("get_when_change", changed, model, awaited=tasks)
    yield method("when_change", [f"*fields: {watched.pattern}", watched.options("EventOptions")], stream)
    yield method("get_when", [_test(watched), watched.options("Options")], model, awaited=tasks)
    yield method("when", [_test(watched), watched.options("StreamOptions")], stream)
    for name in WITH_VALUE:
        yield _by_value(watched, f"get_when_{name}", "Options", model, awaited=tasks)
        yield _by_value(watched, f"when_{name}", "StreamOptions", stream)
    for name in WITHOUT_VALUE:
        once = [f"field: {watched.path}", watched.options("Options")]
        yield method(f"get_when_{name}", once, model, awaited=tasks)
        yield method(f"when_{name}", [f"field: {watched.path}", watched.options("StreamOptions")], stream)
    yield _changes(watched, tasks=tasks)
    commits = f"{watched.names.of('zproc', 'Commit')} | {watched.names.of('zproc', 'Resync')}[{model}]"
    yield method(
        "commits",
        [f"*fields: {watched.pattern}", watched.options("EventOptions")],
        watched.stream(commits, tasks=tasks),
    )


def calls(watched: Watched) -> Iterator[list[str]]:
    """Yield the methods of a context that make processes."""
    options = watched.options("CallOptions")
    yield method("call_when_change", [f"*fields: {watched.pattern}", _exclude(watched), options], watched.called)
    yield method("call_when", [_test(watched), options], watched.called)
    for name in WITH_VALUE:
        yield _by_value(watched, f"call_when_{name}", "CallOptions", watched.called)
    for name in WITHOUT_VALUE:
        yield method(f"call_when_{name}", [f"field: {watched.path}", options], watched.called)


def _exclude(watched: Watched) -> Text:
    pattern = watched.pattern
    return f"exclude: {watched.builtin('tuple')}[{pattern}, ...] | {watched.builtin('list')}[{pattern}] = ..."


def _test(watched: Watched) -> Text:
    callable_ = watched.names.of("collections.abc", "Callable")
    return f"test: {callable_}[[{watched.model}], {watched.builtin('object')}]"


def _by_value(watched: Watched, name: str, options: str, returns: str, *, awaited: bool = False) -> list[str]:
    taken = watched.options(options)
    forms = [([f"field: {path}", f"value: {type_}", taken], returns) for path, type_ in watched.groups.items()]
    text, anything = watched.builtin("str"), watched.builtin("object")
    return overloaded(
        watched.names, name, forms, ([f"field: {text}", f"value: {anything}", taken], returns), awaited=awaited
    )


def _changes(watched: Watched, *, tasks: bool) -> list[str]:
    taken, change = watched.options("EventOptions"), watched.names.of("zproc", "Change")
    resync = f"{watched.names.of('zproc', 'Resync')}[{watched.model}]"
    forms: list[tuple[list[Text], str]] = [
        ([f"field: {path}", "/", taken], watched.stream(f"{change}[{type_}] | {resync}", tasks=tasks))
        for path, type_ in watched.whole.items()
    ]
    some = watched.stream(f"{change} | {resync}", tasks=tasks)
    return overloaded(
        watched.names,
        "changes",
        [*forms, ([f"*fields: {watched.pattern}", taken], some)],
        ([f"*fields: {watched.builtin('str')}", taken], some),
    )
