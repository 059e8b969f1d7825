"""The drawing of a network."""

from __future__ import annotations

from ..drawing import Drawing, draw_network
from ..network import Network


def graph(net: Network) -> Drawing:
    """Draw a network: its layers, what joins them, and its losses.

    A layer's box tells its form, its activation, the shape of one example's
    output and its number of parameters. Where an output other than ``out`` is
    used, its name stands below the box. Dashed lines lead to the losses, with
    their weights and targets.

    Parameters
    ----------
    net : theanets.Network
        The network.

    Returns
    -------
    Drawing
        The text of an SVG file, which notebooks show as a picture;
        ``graph(net).save('net.svg')`` writes it.
    """
    return draw_network(net)
