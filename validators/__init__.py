"""Comparison of source and stores while both are live: findings, verdicts, repair, reports. Only looks, never decides."""
