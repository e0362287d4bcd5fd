"""What the proxy says by itself. The page for unknown hosts and paths is the one nginx's users know by sight."""

from __future__ import annotations

from sampan.ir import Respond


def page(status: int, text: str) -> str:
    """nginx's page for a status, as of `server_tokens off`."""
    head = (
        f"<html>\r\n<head><title>{status} {text}</title></head>\r\n<body>\r\n<center><h1>{status} {text}</h1></center>"
    )
    return f"{head}\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"


NOT_FOUND = Respond(404, page(404, "Not Found"), "text/html")


def unavailable(message: str) -> Respond:
    return Respond(503, f"{message}\n")
