"""What is said of distributions that are no priors, and of files that are of networks."""

import pytest

import theanets
from theanets.errors import ConfigurationError, FileError

pm = pytest.importorskip("pymc")
from theanets import bayes  # noqa: E402
from theanets.bayes import priors  # noqa: E402

DIST = {"Normal": {}, "Laplace": {"mu": 0, "b": 1}, "HalfNormal": {}}


@pytest.mark.parametrize("kind", DIST)
def test_distributions_that_name_no_variable(kind):
    net = theanets.Regressor([2, 1], mode="FAST_COMPILE")
    for given in (getattr(pm, kind), {"*.w": getattr(pm, kind)}):
        with pytest.raises(ConfigurationError, match=rf"is the class pm\.{kind}; .* lambda name, "):
            priors.choose(net.params, given)
    with pytest.raises(ConfigurationError, match=r"is the variable .* lambda name, dims: pm"):
        priors.choose(net.params, getattr(pm, kind).dist(**DIST[kind]))


def test_files_of_networks_are_no_posteriors(tmp_path):
    net = theanets.Regressor([2, 1], mode="FAST_COMPILE")
    net.save(tmp_path / "net")
    with pytest.raises(FileError, match=r"net is a file of a network, .* theanets\.Network\.load"):
        bayes.Posterior.load(tmp_path / "net")
