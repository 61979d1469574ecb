"""Which plans a result's rows become lines of directly, and by which form each selected column is written.

The fast twin of `textform.from_select`: same bytes, or ValueRefused, which sends a block of rows the slow way.
"""

from __future__ import annotations

from model.tables import ColumnDef
from sync.mysql.forms import BinaryForm, BitForm, ConvertedForm, FieldForm
from sync.mysql.layout import BINARIES, GEOMETRIES, text_form
from sync.mysql.lines import is_direct, line_column
from sync.mysql.result_lines import EnumNumberForm, NumberForm, PrintedForm, ResultLines, VerbatimForm
from sync.mysql.textform import TEXTS, as_is, from_select
from transforms.plan import TablePlan

_PRINTED = frozenset(
    {
        "tinyint", "smallint", "mediumint", "int", "integer", "bigint",
        "date", "datetime", "time", "uuid", "inet4", "inet6",
    }
)  # fmt: skip
"""Types whose text has no character that COPY would need escaped."""


def result_form(column: ColumnDef) -> FieldForm:
    """The form of what `textform.select_expression` selects. Raises Refused for an unknown character set."""
    base = column.type
    if base in ("decimal", "year") or "zerofill" in column.column_type:
        return NumberForm()
    if base in _PRINTED:
        return PrintedForm()
    if base == "timestamp":
        return PrintedForm(b"+00")
    if base == "enum":
        return EnumNumberForm([label.encode() for label in column.labels])
    if base == "bit":
        return BitForm(column.length or 1)
    if base in BINARIES or base in GEOMETRIES:
        return BinaryForm(0)
    if base in TEXTS:
        return text_form(column.charset, 0, stripped=base == "char")
    convert = from_select(column)
    if convert is as_is:
        return VerbatimForm()

    def converted(value: bytes) -> bytes:
        field = convert(value)
        assert isinstance(field, bytes)
        return field

    return ConvertedForm(-1, 0, converted, text=True)


def result_lines(plan: TablePlan, bounds: int) -> ResultLines | None:
    """The writer of a plan's lines from rows of all source columns and `bounds` more values; None if not direct."""
    if not is_direct(plan):
        return None
    forms = [result_form(column) for column in plan.source.columns]
    return ResultLines([line_column(column, forms) for column in plan.columns], len(forms) + bounds)
