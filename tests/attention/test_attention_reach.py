"""A reach without what it is the reach of."""

import pytest

import theanets


@pytest.mark.parametrize("form", ["attention", "transformer"])
def test_reach_without_relative_positions_is_warned_of(form):
    def made(**options):
        return theanets.recurrent.Regressor([4, dict(form=form, heads=2, **options), 2])

    for position in (None, "rotary"):
        with pytest.warns(UserWarning, match="reach=5 is of the biases that position='relative'"):
            made(reach=5, position=position)
    made(reach=5, position="relative")
    made(position="rotary")
    made()
