"""Formulas over columns ("np.log(part_pt/jet_pt)"), evaluated without `eval`.

A formula is parsed, and only the operations listed here are allowed: arithmetic, comparisons,
indexing, and functions of numpy, awkward and math that work on arrays. So a configuration file can
compute and nothing else.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import awkward as ak
import numpy as np

from sciml.errors import InputError, nearest

_NUMPY = (
    "abs absolute add all any arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin "
    "ceil clip concatenate cos cosh count_nonzero cumsum deg2rad digitize divide equal exp expm1 "
    "fabs floor fmax fmin greater greater_equal hypot isclose isfinite isinf isnan less less_equal "
    "log log10 log1p log2 logical_and logical_not logical_or logical_xor max maximum mean median "
    "min minimum mod multiply nan_to_num negative not_equal ones_like power prod rad2deg "
    "remainder rint round searchsorted sign sin sinh sqrt square squeeze stack std subtract sum "
    "take tan tanh transpose true_divide trunc var vstack hstack where zeros_like"
).split()
_AWKWARD = (
    "all any argmax argmin argsort concatenate count count_nonzero fill_none firsts flatten "
    "full_like is_none local_index mask max mean min nan_to_num num ones_like pad_none prod ravel "
    "singletons sort std sum to_numpy unflatten values_astype var where zeros_like"
).split()
_MATH = (
    "acos acosh asin asinh atan atan2 atanh ceil cos cosh exp fabs floor hypot log log10 log1p "
    "log2 pow sin sinh sqrt tan tanh"
).split()
_NUMPY_NAME = {"pow": "power"} | {
    f"a{n}": f"arc{n}" for n in "cos sin tan tan2 cosh sinh tanh".split()
}
_CONSTANTS: dict[str, dict[str, Any]] = {
    "np": {n: getattr(np, n) for n in ("pi", "e", "inf", "nan", "newaxis")}
    | {n: n for n in ("float16", "float32", "float64", "int8", "int32", "int64", "uint8")}
    | {"bool_": "bool"},
    "math": {n: getattr(math, n) for n in ("pi", "e", "inf", "nan", "tau")},
    "ak": {},
}
_MODULES = {"np": "np", "numpy": "np", "ak": "ak", "awkward": "ak", "math": "math"}
_METHODS = "all any argmax argmin astype max mean min prod std sum var".split()
_OF_VECTORS = (
    "px py pz E energy e pt pt2 eta phi mass m m2 mass2 M p p2 mag theta costheta rapidity et Et "
    "mt Mt transverse_mass beta gamma"
).split()
"""Attributes of four-vectors that a formula may use, by `vector`'s names."""
_BETWEEN_VECTORS = "deltaR deltaR2 deltaeta deltaphi deltaangle delta_r delta_phi".split()
_LENGTH, _DEPTH, _EXPONENT, _PADDING = 20_000, 200, 64, 100_000

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: np.logical_not,
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _clip(values: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(values, low), high)


def _astype(values: Any, dtype: Any) -> Any:
    return ak.values_astype(values, dtype) if isinstance(values, ak.Array) else values.astype(dtype)


def _pad_none(values: Any, length: int, axis: int = 1, clip: bool = False) -> Any:
    if not 0 <= int(length) <= _PADDING:
        raise InputError(f"pads lists to {length}, at most {_PADDING} is allowed")
    return ak.pad_none(values, int(length), axis=axis, clip=clip)


def _four_vectors(*names: str) -> Callable[..., Any]:
    """A function from components of these names to `vector`'s four-momenta."""

    def build(*components: Any) -> Any:
        import vector

        vector.register_awkward()
        if len(components) != len(names):
            raise InputError(f"four-vectors are made of {', '.join(names)}")
        return vector.zip(dict(zip(names, components, strict=True)))

    return build


def _attribute(values: Any, name: str, where: object) -> Any:
    """A quantity of four-vectors, or a field of records; nothing else has attributes here."""
    import vector

    if isinstance(values, ak.Array) and name in _OF_VECTORS:
        if name in values.fields:
            return values[name]
        if isinstance(values, vector.Momentum):
            return getattr(values, name)
    raise InputError(
        f".{name} is an attribute of four-vectors alone",
        where=where,
        hint="_p4_from_ptetaphie, _p4_from_ptetaphim and _p4_from_pxpypze make them",
    )


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"np.{name}": getattr(np, name) for name in _NUMPY},
    **{f"ak.{name}": getattr(ak, name) for name in _AWKWARD},
    # numpy's, since those of Python's math module work on single numbers only
    **{f"math.{name}": getattr(np, _NUMPY_NAME.get(name, name)) for name in _MATH},
    "np.clip": _clip,
    "ak.pad_none": _pad_none,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
    "round": np.round,
    "_clip": _clip,
    "_concat": lambda arrays, axis=0: ak.concatenate(list(arrays), axis=axis),
    "_p4_from_pxpypze": _four_vectors("px", "py", "pz", "energy"),
    "_p4_from_ptetaphie": _four_vectors("pt", "eta", "phi", "energy"),
    "_p4_from_ptetaphim": _four_vectors("pt", "eta", "phi", "mass"),
    "_batch_argsort": ak.argsort,
    "_batch_gather": lambda array, indices: array[indices],
    "len": len,
    "_stack": lambda arrays, axis=1: np.stack([ak.to_numpy(a) for a in arrays], axis=axis),
}
"""Every function that a formula may call, by name."""


def parse(formula: str, where: object = None) -> ast.expr:
    """The checked syntax tree of a formula.

    Raises:
        InputError: it is no formula, or uses something that is not allowed.
    """
    if len(formula) > _LENGTH:
        raise InputError(f"a formula of {len(formula)} characters is too long", where=where)
    try:
        tree = ast.parse(" ".join(formula.split()), mode="eval").body
        _check(tree, formula, where, 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{_short(formula)} is not a formula ({error})", where=where) from error
    return tree


def names(formula: str, where: object = None) -> list[str]:
    """The columns a formula reads, in the order of their first use."""
    columns: dict[str, None] = {}
    for node in _in_order(parse(formula, where)):
        if isinstance(node, ast.Name) and node.id not in _MODULES and node.id not in _FUNCTIONS:
            columns[node.id] = None
    return list(columns)


def evaluate(formula: str, columns: Mapping[str, Any], where: object = None) -> Any:
    """The value of a formula.

    Args:
        formula: the text.
        columns: name -> array, for every name in `names(formula)`.
        where: file and variable, for messages.

    Raises:
        InputError: not a formula, an unknown name (the nearest are given), or arrays that do not
            fit together.
    """
    tree = parse(formula, where)
    try:
        with np.errstate(all="ignore"):
            return _value(tree, columns, where)
    except InputError:
        raise
    except Exception as error:
        # numpy and awkward report misfits with many kinds of errors; all are the formula's fault.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{_short(formula)} cannot be worked out ({reason})", where=where) from (
            error
        )


def _short(formula: str) -> str:
    text = " ".join(formula.split())
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _in_order(node: ast.AST) -> list[ast.AST]:
    out = [node]
    for child in ast.iter_child_nodes(node):
        out += _in_order(child)
    return out


def _function(node: ast.expr) -> str | None:
    """'np.log' for the tree of np.log, 'abs' for abs; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        module = _MODULES.get(node.value.id)
        return f"{module}.{node.attr}" if module else None
    return None


def _check(node: ast.AST, formula: str, where: object, depth: int) -> None:
    def refuse(what: str, hint: str | None = None) -> InputError:
        return InputError(f"{what} is not allowed in {_short(formula)}", where=where, hint=hint)

    if depth > _DEPTH:
        raise refuse("nesting this deep")
    if isinstance(node, ast.BoolOp):
        raise refuse("and/or", "Write & and | with parentheses")
    if isinstance(node, ast.Call):
        name = _function(node.func)
        if name is None or name not in _FUNCTIONS:
            method = isinstance(node.func, ast.Attribute) and node.func.attr in (
                *_METHODS,
                *_BETWEEN_VECTORS,
            )
            if not method or (name is not None and "." in name):
                called = name or ast.unparse(node.func)
                close = nearest(called, _FUNCTIONS)
                hint = "Did you mean " + " or ".join(close) + "?" if close else None
                if ".JaggedArray." in called:  # of awkward 0
                    hint = "awkward 2 has no JaggedArray; write ak." + called.rsplit(".", 1)[1]
                raise refuse(f"calling {called}", hint)
            _check(node.func.value, formula, where, depth + 1)  # type: ignore[attr-defined]
        if any(keyword.arg is None for keyword in node.keywords):
            raise refuse("**")
        for child in (*node.args, *(keyword.value for keyword in node.keywords)):
            _check(child, formula, where, depth + 1)
        return
    if isinstance(node, ast.Attribute):
        module = _MODULES.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if module is None and node.attr in _OF_VECTORS:
            _check(node.value, formula, where, depth + 1)
        elif module is None or node.attr not in _CONSTANTS[module]:
            raise refuse(f"the attribute {node.attr}")
        return
    if isinstance(node, ast.Constant):
        if not (node.value is None or isinstance(node.value, bool | int | float | str)):
            raise refuse(f"the constant {node.value!r}")
        return
    if isinstance(node, ast.BinOp) and not (
        type(node.op) in _BINARY or isinstance(node.op, ast.Pow)
    ):
        raise refuse(f"the operator {type(node.op).__name__}")
    allowed = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name, ast.Subscript, ast.Slice, ast.Tuple)
    if not isinstance(node, (*allowed, ast.List)):
        raise refuse(f"{type(node).__name__}")
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.expr):
            _check(part, formula, where, depth + 1)


def _value(node: ast.AST | None, columns: Mapping[str, Any], where: object) -> Any:
    def value(child: ast.AST | None) -> Any:
        return _value(child, columns, where)

    if node is None:
        return None
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        if node.id in columns:
            return columns[node.id]
        close = nearest(node.id, columns)
        hint = "Did you mean " + " or ".join(map(repr, close)) + "?" if close else None
        raise InputError(f"unknown variable {node.id!r}", where=where, hint=hint)
    if isinstance(node, ast.Attribute):
        module = _MODULES.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if module is None:
            return _attribute(value(node.value), node.attr, where)
        return _CONSTANTS[module][node.attr]
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](value(node.operand))
    if isinstance(node, ast.BinOp):
        left, right = value(node.left), value(node.right)
        if isinstance(left, str | list | tuple) or isinstance(right, str | list | tuple):
            raise InputError("arithmetic with text or lists is not allowed", where=where)
        if isinstance(node.op, ast.Pow):
            if isinstance(left, int) and isinstance(right, int):
                if abs(right) > _EXPONENT:
                    raise InputError(f"the power {right} is too large", where=where)
                left = float(left)
            return left**right
        return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.Compare):
        left, out = value(node.left), None
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            if type(op) not in _COMPARE:
                raise InputError(f"the comparison {type(op).__name__} is not allowed", where=where)
            right = value(comparator)
            part = _COMPARE[type(op)](left, right)
            out = part if out is None else out & part
            left = right
        return out
    if isinstance(node, ast.Subscript):
        return value(node.value)[value(node.slice)]
    if isinstance(node, ast.Slice):
        return slice(value(node.lower), value(node.upper), value(node.step))
    if isinstance(node, ast.Tuple):
        return tuple(value(child) for child in node.elts)
    if isinstance(node, ast.List):
        return [value(child) for child in node.elts]
    if isinstance(node, ast.Call):
        args = [value(child) for child in node.args]
        options = {str(k.arg): value(k.value) for k in node.keywords}
        name = _function(node.func)
        if name in _FUNCTIONS:
            return _FUNCTIONS[name](*args, **options)
        method = node.func
        assert isinstance(method, ast.Attribute)  # _check let nothing else pass
        array = value(method.value)
        if method.attr == "astype":
            return _astype(array, *args, **options)
        if method.attr in _BETWEEN_VECTORS:
            for vectors in (array, *args):
                _attribute(vectors, "pt", where)
            between = method.attr.replace("delta_r", "deltaR").replace("delta_phi", "deltaphi")
            return getattr(array, between)(*args)
        library = ak if isinstance(array, ak.Array) and array.ndim > 1 else np
        return getattr(library, method.attr)(array, *args, **options)
    raise InputError(f"{type(node).__name__} is not allowed", where=where)
