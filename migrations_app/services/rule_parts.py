"""What the rules of several sections judge alike: names, numbers, paths, commands of the operator's file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from controlplane.registry.models import Host

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
Errors = dict[str, str]


def path_problem(text: str, host: Host | None) -> str:
    """'' for a path that may be named; whether it is a link is for the host to say."""
    if CONTROL.search(text) or ".." in Path(text).parts or not Path(text).is_absolute():
        return "Give the whole path, from / on, without “..”."
    if host is not None and not any(Path(text).is_relative_to(root) for root in host.roots):
        allowed = ", ".join(host.roots) or "none"
        return f"It lies outside the folders that the operator of {host.name} allows: {allowed}."
    return ""


def judge_command(place: str, name: str, host: Host | None, errors: Errors) -> None:
    """One of the operator's commands has to be named there."""
    if not name:
        errors[place] = "Choose one of the operator’s commands."
    elif host is not None and name not in host.commands:
        errors[place] = f"The operator’s file of {host.name} has no command {name[:80]!r}."
    elif CONTROL.search(name) or len(name) > 200:
        errors[place] = "That is not the name of a command."


def is_number(value: Any, lowest: int, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest
