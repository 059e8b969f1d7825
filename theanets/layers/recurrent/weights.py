"""How the weights of recurrent layers are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from ...expressions import Shared
from ..base import Layer


class StateWeights(Layer, abstract=True):
    """A layer of which some weights are for its input, others for its states."""

    def add_weights(
        self,
        name: str,
        nin: int | None = None,
        nout: int | None = None,
        mean: float | None = None,
        std: float | None = None,
        *,
        blocks: Sequence[int] | None = None,
        orthogonal: bool | None = None,
        **draws: float,
    ) -> Shared:
        """Make a matrix of weights; see `Layer.add_weights`.

        One without ``nin`` is for the input. One with it is for a state, and
        orthogonal by default: a product with it is not longer than the state,
        so that with any activation that does not enlarge its argument (relu,
        tanh, ...) what a layer holds does not grow by itself, however many
        steps and whatever the seed.
        """
        if orthogonal is None:
            orthogonal = nin is not None
        return super().add_weights(
            name, nin, nout, mean, std, blocks=blocks, orthogonal=orthogonal, **draws
        )

    def general_draws(self, nin: int | None, nout: int) -> tuple[str, ...]:
        """Get the keywords that are, without a suffix, for a matrix of weights.

        ``diagonal`` and ``radius`` are for square ones that work on states.
        """
        every = super().general_draws(nin, nout)
        return every if nin == nout else tuple(k for k in every if k not in ("diagonal", "radius"))
