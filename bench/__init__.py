"""Benchmarks: ours, the ceiling, and peers that are installed, on the same data in the same run."""
