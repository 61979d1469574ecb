"""Who is primary: gates, cutover steps, rollback, the journal of both. The only layer that changes it."""
