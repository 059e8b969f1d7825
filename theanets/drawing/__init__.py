"""Drawings of networks, as SVG and HTML."""

from __future__ import annotations

from .network import Drawing, draw_network, network_html

__all__ = ["Drawing", "draw_network", "network_html"]
