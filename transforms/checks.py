"""CHECK constraints of the source: kept when the condition means the same in PostgreSQL, else left out with a note."""

from __future__ import annotations

from model.errors import ConfigError
from model.tables import ColumnDef
from transforms import names
from transforms.columns import OutputColumns
from transforms.expressions import compile_condition
from transforms.generated import unchanged_column
from transforms.rules import Output
from transforms.target import TargetCheck
from transforms.types import TypePolicy


def translate_checks(output: Output, columns: OutputColumns, policy: TypePolicy) -> list[TargetCheck]:
    """The checks that the target can keep; a note for each of the others goes to `columns`."""
    kept: list[TargetCheck] = []

    def spelled(column: ColumnDef) -> str:
        return unchanged_column(columns, output.source, column, policy)

    taken = {check.name for check in columns.checks}
    for check in output.source.checks:
        if not check.enforced:
            columns.notes.append(f"check {check.name}: dropped, it is not enforced in the source")
            continue
        try:
            condition = compile_condition(check.expression, output.source, postgres_column=spelled, own_meaning=False)
        except ConfigError as error:
            columns.notes.append(f"check {check.name}: dropped ({error.message})")
            continue
        name = names.shorten(check.name)
        if name in taken:
            name = names.shorten(f"{check.name}_source")
        taken.add(name)
        kept.append(TargetCheck(name, condition.postgres))
    return kept
