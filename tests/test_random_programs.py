"""Whole programs drawn at random, against the twin and against themselves: see programs_strategy.py.

The cases are the same in every run; reliability/random_programs.py draws others, and more.
"""

import hypothesis
import programs_strategy


@hypothesis.settings(
    max_examples=500, derandomize=True, deadline=None, database=None, print_blob=False,
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip
@hypothesis.given(programs_strategy.programs())
def test_random_programs(program):
    programs_strategy.check(program)
