"""Values and errors that every layer shares: rows, tables, positions, the error tree. No I/O, no server dialect."""
