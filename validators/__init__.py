"""Comparison of source and stores while both are live: findings, verdicts, repair. Looks and judges, never decides."""
