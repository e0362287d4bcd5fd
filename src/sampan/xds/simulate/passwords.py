"""Is it the password? The same hashes as `filters/lua/passwords.lua` knows."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_CRYPT64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_GROUPS = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def correct(stored: str, password: str) -> bool:
    given = password.encode()
    for magic in ("$apr1$", "$1$"):
        if stored.startswith(magic):
            salt, _, digest = stored.removeprefix(magic).partition("$")
            return hmac.compare_digest(_md5_crypt(given, salt[:8].encode(), magic.encode()), digest)
    scheme, _, rest = stored.removeprefix("{").partition("}")
    if scheme == "PLAIN":
        return hmac.compare_digest(rest.encode(), given)
    try:
        raw = base64.b64decode(rest, validate=True)
    except binascii.Error:
        return False
    if scheme not in ("SHA", "SSHA") or (scheme == "SHA" and len(raw) != 20):
        return False
    return hmac.compare_digest(raw[:20], hashlib.sha1(given + raw[20:]).digest())


def _md5_crypt(password: bytes, salt: bytes, magic: bytes) -> str:
    inner = hashlib.md5(password + salt + password).digest()
    text = password + magic + salt + (inner * (len(password) // 16 + 1))[: len(password)]
    left = len(password)
    while left:
        text += b"\0" if left & 1 else password[:1]
        left >>= 1
    final = hashlib.md5(text).digest()
    for number in range(1000):
        odd = number % 2
        one, other = (password, final) if odd else (final, password)
        final = hashlib.md5(one + (salt if number % 3 else b"") + (password if number % 7 else b"") + other).digest()
    groups = [(final[a] << 16 | final[b] << 8 | final[c], 4) for a, b, c in _GROUPS] + [(final[11], 2)]
    return "".join(_CRYPT64[value >> 6 * place & 63] for value, digits in groups for place in range(digits))
