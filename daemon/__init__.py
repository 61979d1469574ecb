"""The long-running process: builds the parts, runs them, answers commands, tells how it is."""
