"""What `config explain` prints of a plan."""

from __future__ import annotations

from tests.support.plans import compile_one, compile_tables, sakila
from tests.unit.transforms.test_compile import RULE, users
from transforms.describe import WIDTH, describe

EXPECTED = """\
shop.users  →  main:public.customers

SOURCE  TARGET       TYPE                   HOW
id      customer_id  bigint not null        counts by itself
email   email        varchar(120) not null  nul_quarantine
status  status       text                   map 'A' → 'active', 'X' → NULL, else 'other'; default
                                            'active'
born    born         text not null
email   domain       text                   RIGHT(email, 3); nul_quarantine
email   initial      smallint               LENGTH(email); range(smallint)
–       region       text not null          always 'eu'
–       empty        integer                always NULL
–       live         boolean not null       always 'true'

key       (customer_id)
left out  note
where     status <> 'X'
unique    customers_email (email)
check     "customer_id" >= 0
note      column status: the map cannot be turned back, for several values become one
note      column domain: computed, and no `reverse` says how to turn it back
note      column initial: computed, and no `reverse` says how to turn it back
note      index email: unique in the source regardless of case; in the store case counts
note      index status: dropped, the column note is not written by the copy"""


def test_a_plan_with_everything() -> None:
    assert describe(compile_one(users(), tables={"users": RULE})) == EXPECTED


def test_nothing_is_wider_than_the_terminal_and_nothing_is_missing() -> None:
    for plan in compile_tables(*sakila()).plans:
        text = describe(plan)
        assert max(len(line) for line in text.splitlines()) <= WIDTH, text
        for name in [column.name for column in plan.target.columns] + [index.name for index in plan.target.indexes]:
            assert name in text
        flat = " ".join(text.split())
        for note in plan.notes:
            assert note in flat
