"""One output's columns: which source column, map, constant or expression feeds each target column.

Order is the source's, then computed columns, then added ones. Refusals name table and column and say what to do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from config.reshaping import Mask, PythonFunction, Surrogate
from config.settings import Constant, Expression, Settings
from model.errors import ConfigError, ValueRefused
from model.rows import Field
from model.tables import ColumnDef, DefaultKind, TableDef
from transforms import names
from transforms.defaults import default_sql, neutral_literal
from transforms.expressions import compile_expression, result_casts
from transforms.generated import translate_generated
from transforms.masks import DIGEST_LENGTH, ONE_WAY, compile_mask, default_type, nothing
from transforms.pgtypes import PgType, parse_type
from transforms.plan import ColumnKind, ColumnPlan
from transforms.python_functions import compile_function, compile_inverse
from transforms.rules import Output, nearest
from transforms.source_types import family
from transforms.surrogates import compile_surrogate
from transforms.target import TargetCheck, TargetColumn, TargetEnum
from transforms.type_fits import text_casts
from transforms.types import TypeChoice, TypePolicy, choose_type, enum_type_name, source_spellings

_IDENTITY_TYPES = ("smallint", "integer", "bigint")


@dataclass(slots=True)
class OutputColumns:
    """What `build_columns` makes; only lives while the plan is compiled."""

    plans: list[ColumnPlan] = field(default_factory=list)
    targets: list[TargetColumn] = field(default_factory=list)
    """Every column of the target table in order, generated ones included."""
    checks: list[TargetCheck] = field(default_factory=list)
    enums: list[TargetEnum] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    of_source: dict[str, int] = field(default_factory=dict)
    """Source column → index into `plans`, of columns that are copied or mapped."""
    masked: dict[str, int] = field(default_factory=dict)
    """Source column → index into `plans`, of columns whose values are masked."""
    surrogates: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    """Index into `plans` of each surrogate key, and the source columns that it stands for."""

    def position(self, target_name: str) -> int | None:
        """Index into `plans` of the written column called so."""
        for index, plan in enumerate(self.plans):
            if plan.target.name == target_name:
                return index
        return None


def source_column(table: TableDef, name: str, place: str) -> ColumnDef:
    """The column that a rule names. Raises ConfigError with the nearest name."""
    try:
        return table.column(name)
    except KeyError:
        known = [column.name for column in table.columns]
        raise ConfigError(
            f"{place} names the column {name!r}, which the table does not have",
            hint=nearest(name, known) or f"Its columns are {', '.join(known[:12])}{' …' if len(known) > 12 else ''}.",
            table=table.id,
            column=name,
        ) from None


def type_override(settings: Settings, output: Output, column: ColumnDef) -> str | None:
    """The type that the configuration asks for: the table's own `types`, else the first type rule that matches."""
    for name, wanted in output.rule.types.items():
        if name.lower() == column.name.lower():
            return wanted
    table = output.source.id
    spellings = source_spellings(column)
    for rule in settings.types:
        if "." in rule.match and not rule.match.lower().startswith(("enum(", "set(")):
            candidates: tuple[str, ...] = (f"{table.name}.{column.name}", f"{table}.{column.name}")
            pattern = rule.match
        else:
            candidates, pattern = spellings, " ".join(rule.match.lower().split())
        if any(fnmatchcase(candidate, pattern) for candidate in candidates):
            return rule.to
    return None


def _keys(output: Output, keys: Mapping[str, object], place: str) -> dict[str, object]:
    """A rule's mapping keyed by the source's own spelling. A glob rule may name columns that this table lacks."""
    found: dict[str, object] = {}
    for name, value in keys.items():
        if _tolerated(output, name):
            continue
        found[source_column(output.source, name, place).name] = value
    return found


def _tolerated(output: Output, name: str) -> bool:
    glob = output.rule_name is not None and any(mark in output.rule_name for mark in "*?[")
    return glob and all(column.name.lower() != name.lower() for column in output.source.columns)


def build_columns(
    settings: Settings, output: Output, policy: TypePolicy, shared_types: Mapping[str, str]
) -> OutputColumns:
    """The columns of one output. `shared_types` are types that foreign keys hand over. Raises ConfigError."""
    table, rule = output.source, output.rule
    rename = _keys(output, rule.rename, "rename")
    maps = _keys(output, rule.map, "map")
    masks = {name: Mask(str(mask)) for name, mask in _keys(output, rule.mask, "mask").items()}
    for name in masks.keys() & maps.keys():
        raise ConfigError("a column cannot have both a map and a mask", hint="Drop one.", table=table.id, column=name)
    _keys(output, rule.types, "types")
    only = None if rule.only is None else set(_keys(output, dict.fromkeys(rule.only), "only"))
    exclude = set(_keys(output, dict.fromkeys(rule.exclude), "exclude"))
    chosen = [c for c in table.columns if (only is None or c.name in only) and c.name not in exclude]
    if rule.only is None and not chosen and not (rule.expr or rule.python or rule.surrogate or rule.add):
        raise ConfigError("every column is excluded", hint="Skip the table instead.", table=table.id)
    targets = [
        (
            column.name,
            names.checked(str(rename[column.name]), "the new name", table=table.id, column=column.name)
            if column.name in rename
            else names.column_name(column.name, settings.defaults.naming),
        )
        for column in chosen
    ]
    extra = [(f"expr.{name}", name) for name in rule.expr] + [(f"python.{name}", name) for name in rule.python]
    extra += [(f"surrogate.{name}", name) for name in rule.surrogate]
    extra += [(f"add.{name}", name) for name in rule.add] + [(f"lookup.{name}", name) for name in rule.lookup]
    names.refuse_collisions([*targets, *extra], "columns", table=table.id)
    for source, target in [*targets, *extra]:
        if target in names.SYSTEM_COLUMNS:
            raise ConfigError(
                f"PostgreSQL keeps the column name {target!r} for itself",
                hint="Choose another name.",
                table=table.id,
                column=source,
            )
    result = OutputColumns()
    try:
        for column, (_, target_name) in zip(chosen, targets, strict=True):
            override = type_override(settings, output, column) or shared_types.get(column.name)
            if column.name in masks:
                _add_masked(result, settings, output, column, target_name, masks[column.name], override, policy)
            elif column.name in maps:
                mapping = rule.map[next(n for n in rule.map if n.lower() == column.name.lower())]
                _add_mapped(result, output, column, target_name, mapping, override)
            else:
                _add_copied(result, output, column, target_name, choose_type(column, target_name, policy, override))
        translate_generated(result, table, policy)
        for name, expression in rule.expr.items():
            _add_expression(result, table, name, expression, policy)
        for name, function in rule.python.items():
            _add_python(result, settings, table, name, function)
        for name, surrogate in rule.surrogate.items():
            _add_surrogate(result, table, name, surrogate)
        for name, constant in rule.add.items():
            _add_constant(result, name, constant)
    except ConfigError as error:
        error.where.setdefault("table", table.id)
        raise
    return result


def _add_copied(result: OutputColumns, output: Output, column: ColumnDef, target_name: str, choice: TypeChoice) -> None:
    table = output.source
    if choice.enum_labels:
        enum = TargetEnum(enum_type_name(output.table, target_name), choice.enum_labels)
        result.enums.append(enum)
        choice = dataclasses.replace(choice, type=f"{names.quoted(output.schema)}.{names.quoted(enum.name)}")
    identity = column.auto_increment and choice.type in (*_IDENTITY_TYPES, "numeric(20,0)")
    if column.auto_increment and not identity:
        result.notes.append(f"column {column.name}: AUTO_INCREMENT is dropped, {choice.type} cannot count by itself")
    if identity and choice.type == "numeric(20,0)":
        result.notes.append(f"column {column.name}: numbered by a sequence's default, numeric cannot be an identity")
    default, note = default_sql(column, choice)
    result.notes += [note] if note else []
    if column.default_kind is DefaultKind.LITERAL and default is None and note is None and not column.nullable:
        result.notes.append(f"column {column.name}: the default {column.default!r} would be NULL and is dropped")
    result.notes += [f"column {column.name}: {text}" for text in choice.notes]
    if choice.may_be_null and not column.nullable:
        result.notes.append(f"column {column.name}: may be NULL in the store, for zero dates become NULL")
    if column.on_update_now:
        result.notes.append(
            f"column {column.name}: ON UPDATE CURRENT_TIMESTAMP stays behind; writers or a trigger must set it"
        )
    target = TargetColumn(
        target_name,
        choice.type,
        nullable=column.nullable or choice.may_be_null,
        identity=identity,
        default=default,
        collation=choice.collation,
        comment=column.comment,
    )
    result.of_source[column.name] = len(result.plans)
    result.plans.append(ColumnPlan(target, ColumnKind.COPY, table.index_of(column.name), choice.casts))
    result.targets.append(target)
    for number, check in enumerate(choice.checks):
        suffix = "check" if number == 0 else f"check{number}"
        result.checks.append(TargetCheck(names.shorten(f"{output.table}_{target_name}_{suffix}"), check))


def typed_text(value: str, type_text: str, **where: object) -> tuple[str, bytes]:
    """The type's own spelling and `value` in it, for constants and mapped values. Raises ConfigError."""
    wanted = parse_type(type_text, **where)
    casts = text_casts(wanted)
    if casts is None:
        raise ConfigError(
            f"a fixed value cannot be of the type {type_text}", hint="Use text, a number, boolean or date.", **where
        )
    field_value: Field = value.encode()
    try:
        for cast in casts:
            field_value = cast.convert(field_value)
    except ValueRefused as error:
        raise ConfigError(
            f"{error.message}; the type is {wanted}", hint="Mend the value or the type.", **where
        ) from None
    assert isinstance(field_value, bytes)
    return str(wanted), field_value


def _add_mapped(
    result: OutputColumns,
    output: Output,
    column: ColumnDef,
    target_name: str,
    mapping: Mapping[str, str | None],
    override: str | None,
) -> None:
    type_text = override or "text"
    where = {"column": column.name}
    spelled = str(parse_type(type_text, **where))
    values: dict[bytes, Field] = {}
    for source, value in mapping.items():
        if source != "*":
            values[neutral_literal(column, source)] = (
                None if value is None else typed_text(value, type_text, **where)[1]
            )
    strict = "*" not in mapping
    star = mapping.get("*")
    otherwise = None if star is None else typed_text(star, type_text, **where)[1]
    nullable = column.nullable or None in values.values() or (not strict and otherwise is None)
    default = None
    if column.default_kind is DefaultKind.LITERAL and column.default is not None:
        mapped = values.get(neutral_literal(column, column.default), otherwise)
        default = f"{names.literal(mapped.decode())}::{spelled}" if isinstance(mapped, bytes) else None
    target = TargetColumn(target_name, spelled, nullable=nullable, default=default, comment=column.comment)
    if len(set(values.values())) < len(values) or not strict:
        result.notes.append(f"column {column.name}: the map cannot be turned back, for several values become one")
    result.of_source[column.name] = len(result.plans)
    result.plans.append(
        ColumnPlan(
            target,
            ColumnKind.MAP,
            output.source.index_of(column.name),
            mapping=values,
            otherwise=otherwise,
            strict=strict,
        )
    )
    result.targets.append(target)


def _add_masked(
    result: OutputColumns,
    settings: Settings,
    output: Output,
    column: ColumnDef,
    target_name: str,
    mask: Mask,
    override: str | None,
    policy: TypePolicy,
) -> None:
    where = {"column": column.name}
    if mask is Mask.NULL:
        spelled = choose_type(column, target_name, policy, override)
        # An enum type or a CHECK of its own would tell of values that the store never has.
        kind = "text" if spelled.enum_labels else spelled.type
        target = TargetColumn(target_name, kind, comment=column.comment)
        plan = ColumnPlan(
            target, ColumnKind.CONSTANT, expression=nothing(column, output.source), one_way=ONE_WAY, masked=True
        )
    else:
        key = settings.stores[output.store].mask_key or settings.defaults.mask_key
        expression = compile_mask(mask, column, output.source, key, output.store)
        wanted = parse_type(override or default_type(mask), **where)
        casts = result_casts(expression, wanted, policy)
        if casts is None or (mask is Mask.HMAC and not _holds_digest(wanted)):
            raise ConfigError(
                f"a masked value cannot be of the type {wanted}",
                hint="Leave the type out: hmac and last4 give text, year a smallint.",
                **where,
            )
        target = TargetColumn(target_name, str(wanted), nullable=column.nullable, comment=column.comment)
        plan = ColumnPlan(
            target,
            ColumnKind.EXPRESSION,
            casts=() if mask is Mask.HMAC else casts,
            expression=expression.compiled,
            apart=mask is Mask.HMAC,
            one_way=ONE_WAY,
            masked=True,
        )
    result.masked[column.name] = len(result.plans)
    result.plans.append(plan)
    result.targets.append(target)


def _holds_digest(wanted: PgType) -> bool:
    if wanted.array or wanted.base not in ("text", "character varying", "citext"):
        return False
    return not wanted.arguments or wanted.arguments[0] >= DIGEST_LENGTH


def _add_expression(result: OutputColumns, table: TableDef, name: str, rule: Expression, policy: TypePolicy) -> None:
    expression = compile_expression(rule.sql, table)
    wanted = parse_type(rule.type, column=name)
    casts = result_casts(expression, wanted, policy)
    if casts is None:
        raise ConfigError(
            f"the expression's value cannot become {rule.type}",
            hint="Use the type text, or CAST inside the expression.",
            column=name,
            expression=rule.sql,
        )
    target = TargetColumn(names.checked(name, "the column's name"), str(wanted))
    result.plans.append(
        ColumnPlan(
            target, ColumnKind.EXPRESSION, casts=casts, expression=expression.compiled, reverse=rule.reverse or None
        )
    )
    result.targets.append(target)
    if not rule.reverse:
        result.notes.append(f"column {name}: computed, and no `reverse` says how to turn it back")


def _add_python(result: OutputColumns, settings: Settings, table: TableDef, name: str, rule: PythonFunction) -> None:
    wanted = parse_type(rule.type, column=name)
    casts = [] if wanted.array and wanted.base == "text" else text_casts(wanted)
    if casts is None:
        raise ConfigError(
            f"a function's value cannot be of the type {rule.type}",
            hint="Use text, a number, boolean, date, json or an array of text.",
            column=name,
        )
    reads = [source_column(table, source, f"python.{name}.reads") for source in rule.reads]
    expression = compile_function(rule.function, reads, table, settings.python_path, name)
    inverse = None
    if rule.inverse is not None:
        gives = source_column(table, rule.gives or rule.reads[0], f"python.{name}.gives")
        inverse = compile_inverse(rule.inverse, gives, table, settings.python_path, name)
    target = TargetColumn(names.checked(name, "the column's name"), str(wanted))
    result.plans.append(
        ColumnPlan(target, ColumnKind.EXPRESSION, casts=tuple(casts), expression=expression, inverse=inverse)
    )
    result.targets.append(target)
    if inverse is None:
        result.notes.append(f"column {name}: computed, and no `inverse` says how to turn it back")


def _add_surrogate(result: OutputColumns, table: TableDef, name: str, rule: Surrogate) -> None:
    sources = [source_column(table, source, f"surrogate.{name}.of") for source in rule.of]
    if any(family(column) == "float" for column in sources):
        raise ConfigError(
            "a surrogate key cannot be made of FLOAT or DOUBLE",
            hint="Name the columns of a key that are whole numbers, decimals, texts or dates.",
            table=table.id,
            column=name,
        )
    expression = compile_surrogate(rule.kind or table.id.name, [column.name for column in sources], table)
    nullable = any(column.nullable for column in sources)
    target = TargetColumn(names.checked(name, "the column's name"), "uuid", nullable=nullable)
    position = len(result.plans)
    result.plans.append(ColumnPlan(target, ColumnKind.EXPRESSION, expression=expression, apart=True))
    result.targets.append(target)
    result.surrogates.append((position, frozenset(column.name for column in sources)))


def _add_constant(result: OutputColumns, name: str, rule: Constant) -> None:
    value: Field = None
    spelled = str(parse_type(rule.type, column=name))
    if rule.value is not None:
        text = str(rule.value).lower() if isinstance(rule.value, bool) else str(rule.value)
        spelled, value = typed_text(text, rule.type, column=name)
    target = TargetColumn(names.checked(name, "the column's name"), spelled, nullable=value is None)
    result.plans.append(ColumnPlan(target, ColumnKind.CONSTANT, constant=value))
    result.targets.append(target)
