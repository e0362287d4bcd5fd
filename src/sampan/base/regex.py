"""RE2, the engine of Envoy, Go and CEL: linear in the text; without look-around and back-references."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sampan.base.errors import SampanError


class NotRe2(SampanError):
    """A pattern that RE2 refuses; the text is its own."""


@lru_cache(maxsize=4096)
def compiled(pattern: str | bytes) -> Any:
    """With the methods of re.Pattern, and `programsize`. Bytes are as Envoy takes them: a byte is a character (so
    there is no \\x{100}). Raises NotRe2.
    """
    import re2  # C++, loaded when somebody has a pattern

    options = re2.Options()
    options.log_errors = False
    if isinstance(pattern, bytes):
        options.encoding = re2.Options.Encoding.LATIN1
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        text = error.args[0]
        raise NotRe2(text.decode(errors="replace") if isinstance(text, bytes) else str(text)) from None
