"""How far a verification is, on a terminal: rows, speed and a range for the end. Nothing where nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from console.output import Invocation
from console.render import duration
from sync.progress import CopyProgress


@contextmanager
def shown_progress(invocation: Invocation) -> Iterator[Callable[[CopyProgress], None] | None]:
    """What takes the progress of a run; None when stderr is no terminal, or nobody wants to see it."""
    if not invocation.stderr.is_terminal or invocation.json or invocation.quiet:
        yield None
        return
    with Live(console=invocation.stderr, auto_refresh=False, transient=True) as live:

        def show(progress: CopyProgress) -> None:
            bar = ProgressBar(total=100, completed=100 * progress.share, width=50)
            live.update(Group(Text(progress_line(progress)), bar), refresh=True)

        yield show


def progress_line(progress: CopyProgress) -> str:
    """`verify 61.0 %  312,000 rows  2 of 7 tables  88,000 rows/s  ETA 2m10s–3m00s`."""
    done = sum(table.done for table in progress.tables)
    text = f"verify {100 * progress.share:.1f} %  {progress.rows_done:,} rows  {done} of {len(progress.tables)} tables"
    text += f"  {progress.rows_per_s:,.0f} rows/s"
    if progress.eta_s is not None and not progress.done:
        text += f"  ETA {duration(progress.eta_s[0])}–{duration(progress.eta_s[1])}"
    return text
