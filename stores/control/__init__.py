"""crossfade's own tables: checkpoint, table states, chunk ledger, schema history, commands, journal."""
