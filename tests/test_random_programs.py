"""Whole programs drawn at random, against the twin and against themselves: see programs_strategy.py.

The cases are the same in every run: so many as FASTMLP_PROGRAMS says. reliability/random_programs.py draws others.
"""

import os

import hypothesis
import programs_strategy


@hypothesis.settings(
    max_examples=int(os.environ.get("FASTMLP_PROGRAMS", "200")), derandomize=True, deadline=None, database=None,
    print_blob=False, suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip
@hypothesis.given(programs_strategy.programs())
def test_random_programs(program):
    programs_strategy.check(program)
