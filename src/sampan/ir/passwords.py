"""Which of htpasswd's hashes a proxy can check: `xds/filters/lua/passwords.lua` does it.

bcrypt ($2y$) and SHA-crypt ($5$, $6$) are made to take a tenth of a second, which would stop a worker's other requests;
DES crypt is broken.
"""

from __future__ import annotations

import re

SUPPORTED_HASHES = ("$apr1$", "$1$", "{SHA}", "{SSHA}", "{PLAIN}")
_FORMS = re.compile(
    r"\$(?:apr1|1)\$[^$]{0,8}\$[./0-9A-Za-z]{22}|\{SHA\}[A-Za-z0-9+/]{27}=|\{SSHA\}[A-Za-z0-9+/]{28,}={0,2}|\{PLAIN\}.*"
)


def supported_hash(text: str) -> bool:
    return _FORMS.fullmatch(text) is not None
