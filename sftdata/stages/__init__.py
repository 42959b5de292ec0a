"""Stages: pure functions from a chunk of rows to a result, without path, clock, environment or global randomness."""
