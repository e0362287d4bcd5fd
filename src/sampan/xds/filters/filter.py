"""What the table of filters is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sampan import ir
from sampan.xds.messages import Message


@dataclass(frozen=True, slots=True)
class Filter:
    """`route`: instance name → what a route with these policies says to it; {} when it has no use for the filter.
    `listener`: the instance's configuration in the listener.

    An instance is called as the filter, or "name/argument" where routes cannot say all that differs; `listener` gets
    the argument.
    """

    name: str
    route: Callable[[ir.Policies], Mapping[str, Message]]
    listener: Callable[[str], Message]
