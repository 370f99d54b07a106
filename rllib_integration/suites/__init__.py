"""Benchmark suites: the same routes, weathers and traffic for every policy, with results that can be checked."""
