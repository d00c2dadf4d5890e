"""ONNX networks with the inputs and outputs of YOLOX and RTMPose whose answers are known.

People are rectangles of a pure colour, their joints discs of others: `show_person` paints them,
`write_person_network` and `write_pose_network` find them.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Colours of people and how surely the network finds each.
PEOPLE = {(200, 0, 0): 0.9, (0, 200, 0): 0.8, (0, 0, 200): 0.7}
# Points of the whole body that the network knows: body, left hand, right hand, face.
JOINTS = (*range(17), 91, 95, 112, 132, 23, 90)
_LEVELS = (80, 160, 240)
COLOURS = [(r, g, b) for r in _LEVELS for g in _LEVELS for b in _LEVELS][: len(JOINTS)]
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# Discs of up to twice this many pixels have one peak each when smoothed twice over so many.
_SMOOTH, _GAIN = 7, 1.6


def grid_cells(height: int, width: int) -> list[tuple[int, int, int]]:
    """Return (column, row, stride) of YOLOX's cells."""
    return [
        (x, y, stride)
        for stride in (8, 16, 32)
        for y in range(height // stride)
        for x in range(width // stride)
    ]


def cell_code(box, cell: tuple[int, int, int]) -> list[float]:
    """Return what YOLOX would say of a box (left, top, right, bottom) from a cell."""
    left, top, right, bottom = box
    x, y, stride = cell
    middle = [(left + right) / 2 / stride - x, (top + bottom) / 2 / stride - y]
    return [*middle, np.log((right - left) / stride), np.log((bottom - top) / stride)]


def save(path, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(n, kind, s) for n, s, kind in _typed(inputs)],
        [helper.make_tensor_value_info(n, kind, s) for n, s, kind in _typed(outputs)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in dict(constants).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def _typed(values):
    return [(*value, TensorProto.FLOAT) if len(value) == 2 else value for value in values]


def write_constant(path, input_shape, *outputs, kind=TensorProto.FLOAT):
    """Write a network that always gives the same."""
    names = [f"output{index}" for index in range(len(outputs))]
    constants = {f"{name}_value": value for name, value in zip(names, outputs, strict=True)}
    nodes = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in names]
    kinds = [helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype) for value in outputs]
    shapes = [np.asarray(value).shape for value in outputs]
    described = list(zip(names, shapes, kinds, strict=True))
    return save(path, nodes, [("input", input_shape, kind)], described, constants)


class _Graph:
    """Collects nodes, each named by its number."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def const(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def add(self, kind, *inputs, output=None, **attributes):
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name


def write_person_network(path, size=(640, 640), *, has_suppression=False, batch=1):
    """Write a YOLOX that boxes the rectangles of `PEOPLE`; it takes blue first, 0 to 255."""
    height, width = size
    graph = _Graph()
    # A pixel is a person's where each channel is nearer to the colour than 60.
    colours = np.array(list(PEOPLE))[:, ::-1, None, None]
    near = graph.add("Abs", graph.add("Sub", "input", graph.const(colours)))
    worst = graph.add("ReduceMax", near, axes=[1], keepdims=1)
    mask = graph.add("Cast", graph.add("Less", worst, graph.const(60)), to=TensorProto.FLOAT)
    x, y = np.arange(width).reshape(1, 1, 1, -1), np.arange(height).reshape(1, 1, -1, 1)
    edges = []
    for ramp in (width - x, height - y, x + 1, y + 1):
        reached = graph.add("Mul", mask, graph.const(ramp))
        edges.append(graph.add("ReduceMax", reached, axes=[1, 2, 3], keepdims=0))
    left = graph.add("Sub", graph.const(width), edges[0])
    top = graph.add("Sub", graph.const(height), edges[1])
    shows = graph.add("ReduceMax", mask, axes=[1, 2, 3], keepdims=0)
    scores = graph.add("Mul", shows, graph.const(list(PEOPLE.values())))
    corners = (left, top, edges[2], edges[3])
    if has_suppression:
        columns = [*corners, scores]
    else:
        columns = _grid_codes(graph, corners, shows, scores, size)
    axis = graph.const([1], np.int64)
    rows = [graph.add("Unsqueeze", column, axis) for column in columns]
    table = graph.add("Concat", *rows, axis=1)
    first = graph.const([0], np.int64)
    inputs = [("input", (batch, 3, height, width))]
    if has_suppression:
        graph.add("Unsqueeze", table, first, output="dets")
        labels = graph.const(np.zeros((1, len(PEOPLE))), np.int64)
        graph.add("Identity", labels, output="labels")
        outputs = [("dets", (1, "n", 5)), ("labels", (1, "n"), TensorProto.INT64)]
    else:
        rest = len(grid_cells(*size)) - len(PEOPLE)
        graph.add("Pad", graph.add("Unsqueeze", table, first),
                  graph.const([0, 0, 0, 0, rest, 0], np.int64), output="output")  # fmt: skip
        outputs = [("output", (batch, "cells", 7))]
    return save(path, graph.nodes, inputs, outputs, graph.constants)


def _grid_codes(graph, corners, shows, scores, size):
    """Return the columns that the first cells give: code, objectness, two classes."""
    cells = np.array(grid_cells(*size)[: len(PEOPLE)], np.float32)
    codes = []
    for axis in (0, 1):
        low, high = corners[axis], corners[axis + 2]
        middle = graph.add("Div", graph.add("Add", low, high), graph.const(2 * cells[:, 2]))
        codes.append(graph.add("Sub", middle, graph.const(cells[:, axis])))
    for axis in (0, 1):
        side = graph.add("Sub", corners[axis + 2], corners[axis])
        side = graph.add("Max", side, graph.const(1))
        codes.append(graph.add("Log", graph.add("Div", side, graph.const(cells[:, 2]))))
    other = graph.const(np.ones(len(PEOPLE)))
    return [*codes, shows, scores, other]


def write_pose_network(path, size=(384, 288), *, num_points=133, order="xy", batch="batch"):
    """Write an RTMPose that finds the discs of `JOINTS`; it takes red first, normalised."""
    height, width = size
    graph = _Graph()
    known = [joint for joint in JOINTS if joint < num_points]
    colours = (np.array(COLOURS[: len(known)]) - MEAN) / STD
    near = graph.add("Abs", graph.add("Sub", "input", graph.const(colours[:, :, None, None])))
    worst = graph.add("ReduceMax", near, axes=[1], keepdims=1)
    # Half a level is 40, or 0.7 of a standard deviation.
    mask = graph.add("Cast", graph.add("Less", worst, graph.const(0.6)), to=TensorProto.FLOAT)
    for _ in range(2):
        mask = graph.add(
            "AveragePool", mask, kernel_shape=[_SMOOTH] * 2, pads=[_SMOOTH // 2] * 4,
            count_include_pad=1,
        )  # fmt: skip
    mask = graph.add("Mul", mask, graph.const(_GAIN))
    names = []
    for name, axis in (("x", 2), ("y", 3)):
        peak = graph.add("ReduceMax", mask, axes=[1, axis], keepdims=0)
        bins = graph.add("Unsqueeze", peak, graph.const([2], np.int64))
        bins = graph.add("Pad", bins, graph.const([0, 0, 0, 0, 0, 1], np.int64))
        bins = graph.add("Reshape", bins, graph.const([1, len(known), -1], np.int64))
        # Rows of joints that are not known stay zero.
        place = np.zeros((1, num_points, len(known)), np.float32)
        place[0, known, range(len(known))] = 1
        names.append(graph.add("MatMul", graph.const(place), bins, output=f"simcc_{name}"))
    lengths = {"x": 2 * width, "y": 2 * height}
    outputs = [(f"simcc_{name}", (batch, "points", lengths[name])) for name in order]
    inputs = [("input", (batch, 3, height, width))]
    return save(path, graph.nodes, inputs, outputs, graph.constants)


def show_person(image, colour, box, seed=0, radius=7):
    """Paint a person; return where the points of `JOINTS` are."""
    left, top, right, bottom = box
    image[top:bottom, left:right] = colour
    # Joints lie on a jittered lattice of five columns, so that their discs keep apart.
    rng = np.random.default_rng(seed)
    rows = -(-len(JOINTS) // 5)
    lattice = np.array([(x, y) for y in range(rows) for x in range(5)][: len(JOINTS)]) + 0.5
    cell = np.array([right - left, bottom - top]) / (5, rows)
    jitter = rng.uniform(-1, 1, lattice.shape) * (cell / 2 - radius - 1)
    places = np.round(np.array([left, top]) + lattice * cell + jitter)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = np.hypot(x, y) <= radius
    for (column, row), joint in zip(places.astype(int), COLOURS, strict=True):
        image[row + y[disc], column + x[disc]] = joint
    return places
