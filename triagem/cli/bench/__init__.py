"""Benchmarks. Everything that is compared runs in one process, interleaved, on the same texts."""
