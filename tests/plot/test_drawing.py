"""The drawing of a network, read back from the SVG; what notebooks show."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import theanets
from theanets import History, plot
from theanets.drawing.layout import LINE, ROW_GAP, _spread, arrange
from theanets.errors import ConfigurationError

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    """Get the texts of each box, the names of its outputs last."""
    root = ElementTree.fromstring(str(svg))
    return [[t.text for t in group.iter(f"{SVG}text")] for group in root.iter(f"{SVG}g")][1:]


def rectangles(svg):
    """Get (left, top, right, bottom) of each box, with the names below it."""
    found = []
    for group in list(ElementTree.fromstring(svg).iter(f"{SVG}g"))[1:]:
        sides = []
        for one in group.iter(f"{SVG}rect"):
            x, y, width, height = (float(one.get(k)) for k in ("x", "y", "width", "height"))
            sides.append((x, y, x + width, y + height))
        left, top, right, bottom = zip(*sides)
        found.append((min(left), min(top), max(right), max(bottom)))
    return found


def lines(svg):
    """Get points along each line."""
    found = []
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        if path.get("fill") != "none":
            continue
        points = []
        for command, rest in re.findall(r"([MVC])([^MVC]+)", path.get("d")):
            numbers = list(map(float, rest.split()))
            if command == "M":
                points.append(numbers)
                continue
            x, y = points[-1]
            if command == "V":
                points += [(x, y + (numbers[0] - y) * t) for t in np.linspace(0, 1, 20)]
            else:
                p = np.array([[x, y], *np.reshape(numbers, (3, 2))])
                for t in np.linspace(0, 1, 20):
                    weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]
                    points.append(tuple(weights @ p))
        found.append(points)
    return found


def inside(point, box, by=1.0):
    (x, y), (left, top, right, bottom) = point, box
    return left + by < x < right - by and top + by < y < bottom - by


def check_picture(svg):
    boxes = rectangles(svg)
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    for points in lines(svg):
        assert not any(inside(point, box) for point in points for box in boxes)
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.get("viewBox").split())
    margin = 14
    every = [side for box in boxes for side in box]
    every += [c for points in lines(svg) for point in points for c in point]
    assert min(every) > -margin
    assert max(box[2] for box in boxes) < width - margin
    assert max(box[3] for box in boxes) <= height - 2 * margin


def branches():
    net = theanets.Regressor(
        [
            10,
            dict(size=20, name="hid1"),
            dict(size=20, name="hid2"),
            dict(size=20, name="hid3", inputs=["hid2", "in"]),
            dict(size=20, name="a", inputs="hid1"),
            dict(size=8, name="long_" * 20, inputs=["a", "hid1"]),
            dict(form="input", size=3, name="late"),
            dict(size=3, name="out", inputs=["hid3", "long_" * 20, "hid1", "late"]),
        ],
        loss="mae",
    )
    net.add_loss("mse", weight=2.5, target="y2")
    net.add_loss("mse", weight=0.25, output_name="hid2:pre", target="aux", weighted=True)
    return net


def test_boxes_say_what_they_are():
    svg = plot.graph(branches())
    check_picture(svg)
    assert texts(svg) == [
        ["in", "input", "10"],
        ["hid1", "feedforward · relu", "20 · 220 parameters"],
        ["hid2", "feedforward · relu", "20 · 420 parameters", "pre", "out"],
        ["hid3", "feedforward · relu", "20 · 620 parameters"],
        ["a", "feedforward · relu", "20 · 420 parameters"],
        ["long_long_long_l…long_long_long_", "feedforward · relu", "8 · 328 parameters"],
        ["late", "input", "3"],
        ["out", "feedforward", "3 · 156 parameters"],
        ["mae", "target"],
        ["2.5 × mse", "target y2"],
        ["0.25 × mse", "target aux, weighted"],
    ]
    assert "long_" * 20 in svg  # as a tip
    assert len(lines(svg)) == 1 + 1 + 2 + 1 + 2 + 4 + 3


def test_lines_lead_from_what_is_used_to_what_uses_it():
    net = branches()
    svg = plot.graph(net)
    boxes = dict(zip([row[0] for row in texts(svg)], rectangles(svg)))
    names = [layer.name for layer in net.layers]
    names[5] = "long_long_long_l…long_long_long_"

    def at(point, side):
        x, y = point
        distance = {
            name: abs(box[side] - y) for name, box in boxes.items() if box[0] <= x <= box[2]
        }
        return min(distance, key=distance.get)

    found = sorted((at(points[0], 3), at(points[-1], 1)) for points in lines(svg))
    long = names[5]
    expected = [
        *[("in", "hid1"), ("in", "hid3"), ("hid1", "hid2"), ("hid1", "a"), ("hid1", long)],
        *[("hid1", "out"), ("hid2", "hid3"), ("hid2", "0.25 × mse"), ("a", long)],
        *[(long, "out"), ("hid3", "out"), ("late", "out"), ("out", "mae"), ("out", "2.5 × mse")],
    ]
    assert found == sorted(expected)


def test_lines_enter_apart_and_do_not_cross_where_they_do():
    svg = plot.graph(branches())
    out = rectangles(svg)[7]
    ends = sorted(
        (points[-1][0], points) for points in lines(svg) if abs(points[-1][1] + 6 - out[1]) < 0.2
    )
    assert len(ends) == 4
    assert min(b - a for (a, _), (b, _) in pairwise(ends)) > 10
    # Where the lines pass the row above, they are in the same order.
    heights = [max(y for x, y in points if y < out[1] - 30) for _, points in ends]
    above = [min(points, key=lambda p: abs(p[1] - min(heights)))[0] for _, points in ends]
    assert above == sorted(above)


def test_lines_to_losses_are_dashed_and_boxes_differ_without_colours():
    root = ElementTree.fromstring(plot.graph(theanets.Regressor([2, 3, 1])))
    paths = [p for p in root.iter(f"{SVG}path") if p.get("fill") == "none"]
    assert [p.get("stroke-dasharray") is not None for p in paths] == [False, False, True]
    corners = [r.get("rx") for r in root.iter(f"{SVG}rect") if r.get("y")]
    assert len({corners[0], corners[1], corners[3]}) == 3


def test_names_are_escaped():
    name = "<b>&\"'größe\x01層"
    net = theanets.Regressor([4, dict(size=2, name=name), 1])
    svg = plot.graph(net)
    assert texts(svg)[1][0] == name.replace("\x01", "\ufffd")
    assert "<b>" not in svg
    assert "<b>&" not in net._repr_html_()


@pytest.mark.parametrize(
    "net",
    [
        theanets.Network(),
        theanets.Network([3]),
        theanets.Autoencoder([4, 2, "tied"]),
        theanets.Network([3], loss={"form": "mse", "output_name": "later"}),
        theanets.recurrent.Regressor([3, dict(form="bidirectional", size=4), 2]),
    ],
    ids=repr,
)
def test_every_network_can_be_drawn(net):
    svg = plot.graph(net)
    check_picture(svg) if net.layers else ElementTree.fromstring(svg)
    assert svg in net._repr_html_()


def test_a_tied_layer_says_whose_weights_it_has():
    assert texts(plot.graph(theanets.Autoencoder([4, 2, "tied"])))[2][2] == "weights of hid1"


def test_file(tmp_path):
    svg = plot.graph(theanets.Regressor([2, 1]))
    svg.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == svg == svg._repr_svg_()
    with pytest.raises(ConfigurationError, match=r"a\.png.*'\.svg'"):
        svg.save(tmp_path / "a.png")


GRAPHS = st.lists(st.lists(st.integers(0, 11), max_size=4), max_size=12)


@settings(max_examples=60)
@given(GRAPHS, st.lists(st.tuples(st.integers(20, 200), st.integers(20, 90)), min_size=12))
def test_layout(graph, sizes):
    edges = [(source % i, i) for i, row in enumerate(graph) if i for source in row]
    sizes = [(float(w), float(h)) for w, h in sizes[: len(graph)]]
    found = arrange(sizes, edges)
    boxes = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(found.boxes, sizes, strict=True)
    ]
    for i, a in enumerate(boxes):
        assert a[0] > -1e-6
        assert a[2] < found.width + 1e-6
        assert a[1] > -1e-6
        assert a[3] < found.height + 1e-6
        for b in boxes[:i]:
            apart = max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])
            assert apart > LINE
    for (source, target), bends in zip(edges, found.bends, strict=True):
        assert bends[0][0] == found.boxes[source][0]
        assert bends[-1][0] == found.boxes[target][0]
        for (_, _, bottom), (_, top, _) in pairwise(bends):
            assert top >= bottom + ROW_GAP
        for x, top, bottom in bends[1:-1]:
            line = (x - LINE / 2, top, x + LINE / 2, bottom)
            for b in boxes:
                assert max(line[0] - b[2], b[0] - line[2], line[1] - b[3], b[1] - line[3]) >= 0


def test_a_chain_is_straight():
    found = arrange([(50.0, 20.0), (90.0, 30.0), (20.0, 20.0)], [(0, 1), (1, 2)])
    assert [x for x, _ in found.boxes] == pytest.approx([45, 45, 45])


def test_what_overlaps_moves_by_its_weight():
    # 3 (a - 1) ** 2 + (a + 1) ** 2 is least at 0.5.
    assert _spread([1, 0], [3, 1], [1]) == [0.5, 1.5]
    assert _spread([3, 0, 0], [1, 2, 3], [0, 0]) == [0.5, 0.5, 0.5]
    assert _spread([0, 5], [3, 1], [1]) == [0, 5]


def test_a_source_is_next_to_where_it_leads():
    found = arrange([(20.0, 20.0)] * 4, [(0, 1), (1, 3), (2, 3)])
    assert found.boxes[2][1] == found.boxes[1][1] > found.boxes[0][1]


def test_crossings_are_undone():
    found = arrange([(20.0, 20.0)] * 4, [(0, 3), (1, 2)])
    (a, _), (b, _), (c, _), (d, _) = found.boxes
    assert (a - b) * (d - c) > 0
    # One goes around on the left, so that it does not cross the last.
    edges = [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (0, 4), (3, 5)]
    found = arrange([(20.0, 20.0)] * 6, edges)
    around = found.bends[5]
    assert around[2][0] < min(found.boxes[2][0], found.boxes[3][0])
    assert (found.boxes[3][0] - found.boxes[2][0]) * (found.boxes[5][0] - found.boxes[4][0]) > 0


class Tables(HTMLParser):
    """The cells of all tables."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in ("rect", "path", "text"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in ("rect", "path", "text"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_notebook_shows_the_layers():
    rows = Tables(theanets.Classifier([3, (1000, "tanh"), 2])._repr_html_()).rows
    assert rows == [
        ["layer", "form", "inputs", "output", "activation", "parameters", "count"],
        ["in", "input", "", "3", "linear", "", "0"],
        ["hid1", "feedforward", "in", "1000", "tanh", "w 3 × 1000, b 1000", "4,000"],
        ["out", "feedforward", "hid1", "2", "softmax", "w 1000 × 2, b 2", "2,002"],
    ]


def test_a_notebook_tells_the_parameters_of_both_directions_apart():
    net = theanets.recurrent.Regressor([3, (4, "bidirectional"), 1])
    shown = Tables(net._repr_html_()).rows[2][5].split(", ")
    assert shown == ["fw.xh 3 × 2", "fw.hh 2 × 2", "fw.b 2", "bw.xh 3 × 2", "bw.hh 2 × 2", "bw.b 2"]


def test_a_notebook_shows_the_history():
    found = History()
    assert "not ended" in found._repr_html_()
    for epoch in range(1, 26):
        found.append({"epoch": epoch}, {"loss": 1 / 3}, {"loss<": 2.0} if epoch % 2 else {})
    found.stop_reason, found.best_epoch = "<good>", 7
    text = found._repr_html_()
    assert "25 epochs, stopped: &lt;good&gt;, best epoch: 7" in text
    rows = Tables(text).rows
    assert rows[0] == ["epoch", "train_loss", "valid_loss<"]
    assert rows[1:3] == [["1", "0.33333", "2"], ["2", "0.33333", ""]]
    assert rows[10][0], rows[11] == ("10", ["…"] * 3)
    assert rows[12][0] == "16"
    assert len(rows) == 22
