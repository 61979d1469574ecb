"""The one retry policy: exponential waits, limits on number and total time, interruptible, only for transient errors.

Nested retries are not used: whoever owns the unit of work that can be repeated as a whole (a chunk, a batch after
its checkpoint was read again) retries, everything below raises.
"""

from __future__ import annotations

import threading

import structlog
import tenacity

from config.settings import RetrySettings
from model.errors import CrossfadeError

log = structlog.get_logger(__name__)


def is_transient(error: BaseException) -> bool:
    """Whether trying again unchanged can succeed."""
    return isinstance(error, CrossfadeError) and error.transient


def retrying(settings: RetrySettings, stop: threading.Event, what: str) -> tenacity.Retrying:
    """A tenacity iterator for `for attempt in retrying(…): with attempt: …`; ends early when `stop` is set."""

    def report(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait_s = state.next_action.sleep if state.next_action else 0.0
        log.warning("retrying", what=what, attempt=state.attempt_number, wait_s=round(wait_s, 2), error=str(error))

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        wait=tenacity.wait_exponential_jitter(multiplier=settings.first_wait_s, max=settings.max_wait_s),
        stop=tenacity.stop_any(
            tenacity.stop_after_attempt(settings.attempts),
            tenacity.stop_after_delay(settings.max_elapsed_s),
            tenacity.stop_when_event_set(stop),
        ),
        sleep=tenacity.sleep_using_event(stop),
        before_sleep=report,
        reraise=True,
    )
