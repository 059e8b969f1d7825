"""Every algorithm works in a group as it does in one process, or is refused by its name."""

import re

import pytest
from group_cases import FAST, N, assert_same, cut, data, regressor, trained

import theanets
from theanets import optimizers, pretraining


@pytest.mark.parametrize("algo", optimizers.names())
def test_algorithms_of_gradients(algo):
    kwargs = {"algo": algo, "epochs": 2, "batch_size": N}
    if algo == "esgd":
        with pytest.raises(BaseExceptionGroup) as caught:
            trained(regressor, cut(data()), 2, **kwargs)
        assert re.search("algo='esgd' needs more", str(caught.value.exceptions[0]))
        return
    net, alone = trained(regressor, cut(data()), 2, **kwargs), regressor()
    alone.train(list(data()), **kwargs, **FAST)
    assert alone.history["valid_loss"][-1] < alone.history.initial["loss"]
    assert_same(net, alone, 1e-8, 1e-10)


@pytest.mark.parametrize("algo", pretraining.METHODS)
def test_methods_of_pretraining_are_refused(algo):
    with pytest.raises(BaseExceptionGroup) as caught:
        trained(regressor, cut(data()), 2, algo=algo)
    for error in caught.value.exceptions:
        assert isinstance(error, (theanets.ConfigurationError, theanets.GroupError))
        assert f"algo={algo!r}" in str(error)
