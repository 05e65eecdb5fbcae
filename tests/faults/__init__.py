import pytest

# These modules hold the assertions of the matrix: a failure there must say what it saw.
pytest.register_assert_rewrite("tests.faults.checks", "relay.rehearsal.matrix.protocols")
