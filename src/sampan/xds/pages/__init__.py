"""What people see of the proxies, as JSON: /sampan/xds/status, /sampan/xds/config, /sampan/xds/route.

Each page is a function of a View (who is connected, what they shall have) and a query, and may be made in a thread: of
thousands of routes it takes seconds. `sampan proxy-status`, `sampan proxy-config` and `sampan route` show them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sampan.xds.pages.config import config
from sampan.xds.pages.query import Query, View
from sampan.xds.pages.route import route
from sampan.xds.pages.status import status

PAGES: Mapping[str, Callable[[View, Query], Any]] = {"status": status, "config": config, "route": route}

__all__ = ["PAGES", "View"]
