"""Reconciliation reports: what was proven, when and how, in a form that people sign and machines can check."""
