"""The methods of lists, dicts and sets that are called by name from elsewhere, as the actions of models are.

The law: what may be called stands in one table, with how many arguments it takes; arguments and results are plain data.
They are the methods of drafts, so they do, raise and record what they would in a turn: whoever calls one need not have
the container, however large it is, and has no turn to wait for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from zproc.exceptions import ProtocolError, UnknownPath
from zproc.schema.containers import DictDraft, ListDraft, SetDraft
from zproc.schema.draft import Draft
from zproc.schema.path import format_path
from zproc.schema.values import plain
from zproc.typing import Path

__all__ = ["METHODS", "call_method"]

METHODS: Final[Mapping[str, tuple[type[Draft], int, str]]] = {
    "list.pop": (ListDraft, 1, "pop"),
    "list.remove": (ListDraft, 1, "remove"),
    "list.delete": (ListDraft, 1, "__delitem__"),
    "list.clear": (ListDraft, 0, "clear"),
    "dict.pop": (DictDraft, 1, "pop"),
    "dict.popitem": (DictDraft, 0, "popitem"),
    "dict.clear": (DictDraft, 0, "clear"),
    "set.pop": (SetDraft, 0, "pop"),
    "set.remove": (SetDraft, 1, "remove"),
    "set.clear": (SetDraft, 0, "clear"),
}
"""By name: the class of what it is a method of, how many arguments it takes, and what it is called there.

``dict.pop`` returns a list of what was popped, or of nothing.
"""

_NOTHING: Final = object()


def call_method(
    draft: object, path: Path, name: str, positional: Sequence[object], by_name: Mapping[str, object]
) -> object:
    """Call a method of a container with arguments that came as data.

    Args:
        draft: the draft of the container.
        path: where it stands.
        name: the method's name in the table.
        positional: its arguments.
        by_name: named arguments, which none takes.

    Returns:
        Its result as plain data.

    Raises:
        UnknownPath: another kind of thing stands there.
        ProtocolError: it takes other arguments.
        Exception: what the method raises.
    """
    kind, count, method = METHODS[name]
    if type(draft) is not kind:
        raise UnknownPath(format_path(path), f"no {name.partition('.')[0]} stands there any longer")
    if len(positional) != count or by_name:
        raise ProtocolError(f"{name} takes {count} positional arguments")
    if isinstance(draft, DictDraft) and name == "dict.pop":
        found = draft.pop(positional[0], _NOTHING)
        return [] if found is _NOTHING else [plain(found)]
    return plain(getattr(draft, method)(*positional))
