"""Mathematica's input form, Sin[x] + ArcTan[2 x], rewritten as infix text.

Text is taken to be in this form where one of its functions stands before a square bracket. The
rewriting keeps positions, so that those in errors stay right. Source: Wolfram Language reference.
"""

from __future__ import annotations

import re

from sciml.symbolic.expr.special_functions import MATHEMATICA

_LOWER = (
    "Sin Cos Tan Cot Sec Csc Sinh Cosh Tanh Coth Sech Csch ArcSin ArcCos ArcTan ArcCot ArcSec "
    "ArcCsc ArcSinh ArcCosh ArcTanh ArcCoth ArcSech ArcCsch Exp Log Sqrt Abs Sign Erf Erfi"
).split()
_OTHERS = {"SinIntegral": "Si", "CosIntegral": "Ci", "LogIntegral": "li", "ExpIntegralEi": "Ei",
           "FresnelS": "fresnels", "FresnelC": "fresnelc", "CubeRoot": "cbrt", "Max": "Max",
           "Min": "Min", "HeavisideTheta": "Heaviside", "UnitStep": "Heaviside",
           "DiracDelta": "DiracDelta", "Floor": "floor", "Ceiling": "ceiling",
           "Mod": "Mod"}  # fmt: skip
_NAMES = {**{name: name.lower() for name in _LOWER}, **_OTHERS}
_BY_NUMBER = ("Gamma", "PolyGamma", "Beta", "ProductLog", "Erfc", *MATHEMATICA)
_NAMES |= {name: name for name in _BY_NUMBER}  # read by `special_functions.called`
_CALL = re.compile(rf"(?<![A-Za-z0-9_])({'|'.join(_NAMES)})\[")
_NUMBER = re.compile(r"(?<![A-Za-z0-9_])Pi(?![A-Za-z0-9_])")
_GAP = re.compile(r"(?<=[A-Za-z0-9)\]]) (?=[A-Za-z(])")


def from_mathematica(text: str) -> str:
    """The text in infix form; unchanged where it holds no call of Mathematica's."""
    if _CALL.search(text) is None:
        return text
    text = _GAP.sub("*", text)  # a space is a product
    text = _CALL.sub(lambda m: f"{_NAMES[m[1]]}(".ljust(len(m[0])), text)
    return _NUMBER.sub("pi", text).replace("[", "(").replace("]", ")")
