"""A temperature of zero is what others call greedy."""

import pytest

import theanets
from theanets.errors import ConfigurationError


def test_no_temperature():
    net = theanets.recurrent.Classifier([3, (2, "rnn"), 3])
    with pytest.raises(ConfigurationError, match=r"temperature=0 is not positive; greedy=True"):
        net.predict_sequence([0, 1], 4, temperature=0)
    with pytest.raises(ConfigurationError, match=r"temperature=-1 is not positive$"):
        net.predict_sequence([0, 1], 4, temperature=-1)
