"""What processes of a group tell each other, and what becomes of failures."""

import numpy as np
import pytest

import theanets
from theanets import spmd
from theanets.spmd.exchange import Exchange


def failures(size, work):
    with pytest.raises(BaseExceptionGroup) as caught:
        spmd.together(size, work, timeout=20)
    return caught.value.exceptions


def test_sums_and_decisions():
    def work(group):
        exchange = Exchange(group)
        total = exchange.total(2, lambda: [group.rank, 1])
        said = exchange.decide(lambda: b"of %d" % group.rank)
        texts = exchange.gather(bytes(range(250, 256)) * group.rank + b"\0%d" % group.rank)
        single = group.sum(np.full(3, group.rank, np.float32))
        return total.tolist(), said, texts, single.dtype, single.tolist()

    expected = [bytes(range(250, 256)) * rank + b"\0%d" % rank for rank in range(3)]
    for found in spmd.together(3, work):
        assert found == ([3, 3], b"of 0", expected, np.dtype("float32"), [3, 3, 3])


@pytest.mark.parametrize(
    ("kind", "rank"),
    [("total", 0), ("total", 1), ("agree", 0), ("agree", 1), ("decide", 0), ("later", 0)],
)
def test_a_failure_is_told_to_all(kind, rank):
    def broken(group):
        if group.rank == rank:
            raise KeyError("here")
        return b"" if kind == "decide" else [1.0]

    def work(group):
        exchange = Exchange(group)
        try:
            if kind == "later" and group.rank == rank:
                exchange.later(KeyError("here"))
            do = {
                "total": lambda: exchange.total(1, lambda: broken(group)),
                "agree": lambda: exchange.agree(lambda: broken(group)),
                "decide": lambda: exchange.decide(lambda: broken(group)),
                "later": lambda: exchange.decide(lambda: b""),
            }
            do[kind]()
        except BaseException as error:
            assert exchange.told is error
            assert exchange.sound
            # They are still at the same point.
            assert exchange.total(1, lambda: [1]).tolist() == [3]
            raise

    found = failures(3, work)
    for number, error in enumerate(found):
        if number == rank:
            assert isinstance(error, KeyError)
        else:
            assert isinstance(error, theanets.GroupError)
            assert str(error) == f"training together ended: rank {rank} failed: KeyError: 'here'"


def test_who_does_not_come_ends_all():
    def work(group):
        exchange = Exchange(group)
        if group.rank == 2:
            raise OSError("gone")
        try:
            exchange.total(1, lambda: [1])
        except theanets.GroupError:
            assert not exchange.sound
            raise

    *others, last = failures(3, work)
    assert isinstance(last, OSError)
    for rank, error in enumerate(others):
        assert str(error).startswith(f"rank {rank} of 3 has lost the others: RuntimeError")
