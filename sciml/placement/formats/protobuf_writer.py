"""The text of a netlist.pb.txt from a `Design`; see `protobuf_netlist` for the format.

It has everything that other readers need: positions of pins, the side of a port, orientations;
numbers have no exponent, and a pin is named MACRO/PIN.
"""

from __future__ import annotations

import numpy as np

from sciml.placement.design import CELL, MACRO, ORIENTATIONS, PORT, SOFT, Design


def _block(name: str, inputs: list[str], attributes: list[tuple[str, object]]) -> str:
    lines = ["node {", f'  name: "{_escape(name)}"']
    lines += [f'  input: "{_escape(text)}"' for text in inputs]
    for key, value in sorted(attributes):
        if isinstance(value, str):
            field = f'placeholder: "{_escape(value)}"'
        else:
            field = f"f: {np.format_float_positional(float(value), trim='0')}"  # type: ignore[arg-type]
        lines += ["  attr {", f'    key: "{key}"', "    value {", f"      {field}", "    }", "  }"]
    return "\n".join([*lines, "}"])


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _side(design: Design, port: int) -> str:
    """The edge of the canvas that a port is nearest to."""
    canvas, x, y = design.canvas, design.x[port], design.y[port]
    away = {"LEFT": x - canvas.x0, "RIGHT": canvas.x1 - x,
            "BOTTOM": y - canvas.y0, "TOP": canvas.y1 - y}  # fmt: skip
    return min(away, key=lambda side: abs(away[side]))


def netlist_text(design: Design) -> tuple[str, np.ndarray]:
    """(text, position of each node among the nodes of the text)."""
    pins, start = design.pins, design.net_start
    is_driver = np.zeros(pins, bool)
    full = np.flatnonzero(np.diff(start) >= 2)  # a net of one pin connects nothing
    is_driver[start[full]] = True
    drives = np.bincount(design.pin_node[is_driver], minlength=design.nodes)
    offset = (design.pin_dx != 0) | (design.pin_dy != 0)
    has_offset = np.bincount(design.pin_node[offset], minlength=design.nodes) > 0
    with_pins = (design.kind == MACRO) | (design.kind == SOFT)
    with_pins |= (drives > 1) | has_offset  # a bare cell or port is its own single pin

    names = list(design.names)
    used = set(names)
    pin_names = design.pin_names or [""] * pins
    labels: list[str] = []
    for p in range(pins):
        node = design.pin_node[p]
        if not with_pins[node]:
            labels.append(names[node])
            continue
        own = pin_names[p].rsplit("/", 1)[-1] or f"P{p}"
        if own == names[node]:
            own = "P"
        labels.append(f"{names[node]}/{own}")
    # Pins that share a label must be one pin: same node and offset, driving at most one net.
    seen: dict[str, tuple[int, float, float]] = {}
    driven: set[str] = set()
    for p in range(pins):
        node = int(design.pin_node[p])
        if not with_pins[node]:
            continue
        key = (node, float(design.pin_dx[p]), float(design.pin_dy[p]))
        label = labels[p]
        while label in used or seen.get(label, key) != key or (is_driver[p] and label in driven):
            label = f"{labels[p]}_{p}" if label == labels[p] else label + "_"
        labels[p] = label
        seen[label] = key
        if is_driver[p]:
            driven.add(label)

    inputs: dict[str, list[str]] = {}
    weights: dict[str, float] = {}
    for net in full:
        a, b = start[net], start[net + 1]
        inputs[labels[a]] = labels[a + 1 : b]
        weights[labels[a]] = float(design.net_weight[net])
    pin_of: dict[int, list[str]] = {}
    for label, (node, _, _) in seen.items():
        pin_of.setdefault(node, []).append(label)

    blocks: list[str] = []
    index = np.zeros(design.nodes, np.int64)
    x0, y0 = design.canvas.x0, design.canvas.y0
    position_of = dict(zip(labels, (design.pin_xy() - [x0, y0]).tolist(), strict=True))
    for i, name in enumerate(names):
        index[i] = len(blocks)
        kind = int(design.kind[i])
        attributes: list[tuple[str, object]] = [
            ("x", float(design.x[i] - x0)),
            ("y", float(design.y[i] - y0)),
        ]
        bare = not with_pins[i]
        if kind == PORT and bare:
            attributes += [("type", "PORT"), ("side", _side(design, i))]
        else:
            kinds = {SOFT: "macro", CELL: "STDCELL" if bare else "MACRO"}
            attributes.append(("type", kinds.get(kind, "MACRO")))
            attributes += [("width", design.width[i]), ("height", design.height[i])]
            attributes.append(("orientation", ORIENTATIONS[design.orientation[i]]))
        if kind == CELL and not bare:
            attributes.append(("cell_kind", "stdcell"))
        if kind == PORT and not bare:
            attributes.append(("cell_kind", "port"))
        if design.fixed[i] and kind != PORT:
            attributes.append(("fixed", 1.0))
        if design.references and design.references[i]:
            attributes.append(("ref_name", design.references[i]))
        if bare and weights.get(name, 1.0) != 1.0:
            attributes.append(("weight", weights[name]))
        blocks.append(_block(name, inputs.get(name, []) if bare else [], attributes))
        for label in pin_of.get(i, []):
            _, dx, dy = seen[label]
            kind_of_pin = "macro_pin" if kind == SOFT else "MACRO_PIN"
            pin: list[tuple[str, object]] = [
                ("type", kind_of_pin), ("macro_name", name), ("x_offset", dx), ("y_offset", dy),
                ("x", position_of[label][0]), ("y", position_of[label][1]),
            ]  # fmt: skip
            if weights.get(label, 1.0) != 1.0:
                pin.append(("weight", weights[label]))
            blocks.append(_block(label, inputs.get(label, []), pin))
    return "\n".join(blocks) + "\n", index
