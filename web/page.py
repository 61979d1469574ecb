"""The dashboard: one page, its style and its script, all from this package. Nothing is loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

HEADERS: Final = {
    # Data of rows can neither run nor fetch anything, and nobody frames the page.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
KINDS: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


class Pages:
    """The three files, read once."""

    def __init__(self) -> None:
        folder = Path(__file__).parent
        self._files = {
            name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")
        }

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return self._answer("page.html")

    async def style(self, request: Request) -> Response:
        """Its style sheet."""
        return self._answer("page.css")

    async def script(self, request: Request) -> Response:
        """Its script."""
        return self._answer("page.js")

    def _answer(self, name: str) -> Response:
        return Response(self._files[name], media_type=KINDS[Path(name).suffix], headers=HEADERS)
