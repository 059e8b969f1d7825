"""What differs between versions of PyTensor, with what a version has and without it."""

import pytensor.tensor as pt
import pytest

from theanets import versions


class Thing:
    pass


def test_a_class_is_converted_to_a_tensor_where_pytensor_can_be_told():
    x = pt.vector("x")

    class Holder(Thing):
        pass

    with pytest.raises(NotImplementedError):
        pt.as_tensor(Holder())
    versions.converts(Holder)(lambda thing, name=None, ndim=None, **kwargs: x)
    assert pt.as_tensor(Holder()) is x


def test_where_it_cannot_be_told_it_is_as_before(monkeypatch):
    def function(thing, **kwargs):
        raise AssertionError

    with monkeypatch.context() as renamed:
        renamed.delattr(pt, "_as_tensor_variable")
        assert versions.converts(Thing)(function) is function
    with pytest.raises(NotImplementedError):
        pt.as_tensor(Thing())


def test_the_graph_may_come_before_the_node_and_the_shapes():
    assert versions.shape_arguments(("graph", "node", "shapes")) == ("node", "shapes")
    assert versions.shape_arguments(("node", "shapes")) == ("node", "shapes")
