"""The assessment: named checks of source and stores, each finding with the statement that mends it. Changes nothing."""

from __future__ import annotations

# The modules below register their checks in this order, which is the order of the findings.
from sync.assess import source_server as source_server  # isort: skip
from sync.assess import source_grants as source_grants  # isort: skip
from sync.assess import source_limits as source_limits  # isort: skip
from sync.assess import source_xa as source_xa  # isort: skip
from sync.assess import binlog as binlog  # isort: skip
from sync.assess import tables as tables  # isort: skip
from sync.assess import table_names as table_names  # isort: skip
from sync.assess import table_text as table_text  # isort: skip
from sync.assess import losses as losses  # isort: skip
from sync.assess import stores as stores  # isort: skip
from sync.assess.findings import Assessment, Finding, Level
from sync.assess.grants_script import grants_script
from sync.assess.registry import SOURCE_CHECKS, STORE_CHECKS
from sync.assess.render import assessment_json, assessment_text
from sync.assess.run import assess

__all__ = [
    "SOURCE_CHECKS",
    "STORE_CHECKS",
    "Assessment",
    "Finding",
    "Level",
    "assess",
    "assessment_json",
    "assessment_text",
    "grants_script",
]
