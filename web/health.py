"""`/livez`, `/readyz` and `/healthz`: answers for supervisors and load balancers, 200 or 503 with the reason."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from web.answers import Document
from web.board import STUCK_S, Board
from web.parameters import seconds


class HealthPages:
    """The endpoints over one board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    async def live(self, request: Request) -> Response:
        """The daemon's loop turns."""
        ago = self._board.turned_ago_s
        return _answer("live", [] if ago is not None and ago < STUCK_S else [_ago("the loop has not turned", ago)])

    async def ready(self, request: Request) -> Response:
        """The daemon can take commands: its loop turns and the control store takes its beats."""
        problems = []
        for what, ago in (
            ("the loop has not turned", self._board.turned_ago_s),
            ("the control store took no heartbeat", self._board.beat_ago_s),
        ):
            if ago is None or ago >= STUCK_S:
                problems.append(_ago(what, ago))
        return _answer("ready", problems)

    async def healthy(self, request: Request) -> Response:
        """Nothing has failed, and with `max_lag=10s` no store is further behind than that."""
        limit_s = seconds(request, "max_lag")
        status = self._board.status
        if not status:
            return _answer("healthy", ["no status yet"])
        problems = []
        if status["health"] == "failed":
            problems += [f"{reason['subject']}: {reason['message']}" for reason in status["reasons"]]
        if limit_s is not None:
            for store in status["stores"]:
                lag_s = store["lag_s"]
                if lag_s is None or lag_s > limit_s:
                    shown = "unknown" if lag_s is None else f"{lag_s:.1f} s"
                    problems.append(f"store {store['name']}: lag {shown} (limit {limit_s:g} s)")
        return _answer("healthy", problems, state=status["state"], health=status["health"])


def _ago(what: str, ago_s: float | None) -> str:
    return f"{what} yet" if ago_s is None else f"{what} for {ago_s:.0f} s"


def _answer(what: str, problems: list[str], **facts: str) -> Response:
    document = {"ok": not problems, "check": what, "problems": problems, **facts}
    return Document("crossfade.health/1", document, 503 if problems else 200)
