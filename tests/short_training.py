"""Trainings that end early, for tests that programs run and not that they learn."""

from theanets.training.limits import Limits


def end_early(monkeypatch, **most):
    """Let every training have limits of at most these: ``epochs`` or ``max_updates``."""
    check = Limits.__post_init__

    def shorten(limits):
        check(limits)
        for name, value in most.items():
            given = getattr(limits, name)
            setattr(limits, name, value if given is None else min(given, value))

    monkeypatch.setattr(Limits, "__post_init__", shorten)
