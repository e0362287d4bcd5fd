"""The SCHEME: every kind sampan serves. Adding a kind is one file here with a `RESOURCE` and one row below.

The order is the order of `kubectl api-resources` within a group.
"""

from sampan.api.scheme import Resource, Scheme

_ROWS: tuple[Resource, ...] = ()

SCHEME = Scheme(_ROWS)
