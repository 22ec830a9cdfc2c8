"""Measurements: fastmlp beside every peer, and beside what this machine can do. `fastmlp bench` runs them.

The pytest-benchmark suite in benches/ measures the same workloads and peers.
"""
