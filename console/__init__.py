"""The command line: each module parses one group of commands, calls one function below, and renders what it returns."""
