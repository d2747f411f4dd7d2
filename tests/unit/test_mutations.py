"""The list of `make mutations` matches the code, so that its long run does not fail at the start."""

import pytest

from mutation_check import MUTATIONS, is_in_place
from mutations.mutation import Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.promise.replace(" ", "_"))
def test_the_code_of_a_mutation_exists_once(mutation: Mutation) -> None:
    assert is_in_place(mutation)
