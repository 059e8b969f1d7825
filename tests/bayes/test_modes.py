"""How models are compiled: as their networks are, and to the same results as PyMC's."""

import pickle

import numpy as np
import pytensor
import pytest
from pytensor.link.numba.linker import NumbaLinker

import theanets
from theanets import recurrent
from theanets.linkers.numba import Sparing

pm = pytest.importorskip("pymc")
bayes = pytest.importorskip("theanets.bayes")
modes = pytest.importorskip("theanets.bayes.modes")


@pytest.mark.linker
@pytest.mark.parametrize("kind", ["dense", "gru"])
def test_densities_and_slopes_are_those_of_pymc_s_own_mode(kind, rng):
    if kind == "dense":
        net = theanets.Classifier([3, (4, "tanh"), 3], dtype="float64", rng=1)
        data = [rng.normal(size=(9, 3)), rng.integers(3, size=9)]
    else:
        net = recurrent.Regressor([3, (2, "gru"), 1], dtype="float64", rng=1)
        data = [rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5, 1))]
    model = bayes.model(net, data)
    own = model.logp_dlogp_function(ravel_inputs=True)
    assert type(own._pytensor_function.maker.linker) is Sparing
    plain = model.logp_dlogp_function(ravel_inputs=True, mode="FAST_COMPILE")
    assert not isinstance(plain._pytensor_function.maker.linker, NumbaLinker)
    for scale in (1.0, 2.0):
        point = pm.blocking.DictToArrayBijection.map(model.initial_point())
        point = pm.blocking.RaveledVars(scale * point.data, point.point_map_info)
        for one, other in zip(own(point), plain(point)):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    # Chains in other processes get it as a pickle.
    again = pickle.loads(pickle.dumps(own._pytensor_function))
    assert type(again.maker.linker) is Sparing


def test_the_mode_is_that_of_the_network_or_what_is_said(rng):
    net = theanets.Regressor([2, 1], dtype="float64", rng=1)
    data = [rng.normal(size=(4, 2)), rng.normal(size=(4, 1))]
    made = bayes.model(net, data).compile_logp()
    assert not isinstance(made.f.maker.linker, NumbaLinker)  # of PyTensor's configuration
    net.mode = "CVM"
    linker = bayes.model(net, data).compile_fn([pytensor.tensor.constant(1.0)], inputs=[]).f.maker
    assert type(linker.linker).__name__ == "VMLinker"
    with pytest.raises(theanets.ConfigurationError, match="did you mean 'NUMBA'"):
        modes.mode("NUMBBA")
    assert type(modes.mode("NUMBA").linker) is Sparing
    assert type(modes.mode("FAST_COMPILE").linker).__name__ != "Sparing"
