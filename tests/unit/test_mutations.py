"""The list of `make mutations` fits the code, so that its long run does not end before it has begun."""

import pytest

from mutation_check import MUTATIONS, is_in_place
from mutations.mutation import Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.promise.replace(" ", "_"))
def test_the_code_that_a_mutation_breaks_is_where_it_was(mutation: Mutation) -> None:
    assert is_in_place(mutation)
