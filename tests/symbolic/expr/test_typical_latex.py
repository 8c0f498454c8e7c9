"""LaTeX as people write it: read as it is meant, or refused; never misread."""

from __future__ import annotations

import random

import pytest

from sciml.errors import InputError
from sciml.symbolic.expr.evaluate import evaluate
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.latex_integral import whole_integral
from sciml.symbolic.expr.parser import parse

TYPICAL = [
    (r"\int \frac{dx}{x^2+1}", "1/(x**2+1)"),
    (r"\int x^2 dx", "x**2"),
    (r"\int x^{2}\,dx + C", "x**2"),
    (r"\int_0^1 x^2\,dx", "x**2"),
    (r"\int_{0}^{\infty} e^{-x^2}\,dx", "exp(-x**2)"),
    (r"\int_{-\infty}^{\infty} \frac{\sin x}{x} \, dx", "sin(x)/x"),
    (r"\int \ln|x| dx", "log(abs(x))"),
    (r"\int \log_2 x \, dx", "log(x)/log(2)"),
    (r"\int \sin^2 x\,dx", "sin(x)**2"),
    (r"\int \sin^2(x) \cos^3(x) dx", "sin(x)**2*cos(x)**3"),
    (r"\int xe^x\,dx", "x*exp(x)"),
    (r"\int x e^{2x} \mathrm{d}x", "x*exp(2*x)"),
    (r"\int \frac{x\,dx}{\sqrt{1-x^2}}", "x/sqrt(1-x**2)"),
    (r"\int\sqrt{x}dx", "sqrt(x)"),
    (r"\int \sqrt[3]{x}\,dx", "x**(1/3)"),
    (r"\int \sqrt{1+x^2} \, \text{d}x", "sqrt(1+x**2)"),
    (r"\int \cos\theta \, d\theta", "cos(theta)"),
    (r"\int \tan^{-1} x\,dx", "atan(x)"),
    (r"\int \arctan(x) dx", "atan(x)"),
    (r"\int \arcsin x\;dx", "asin(x)"),
    (r"\int \operatorname{arcsinh}(x)\,dx", "asinh(x)"),
    (r"\int \sec^2 t \,dt", "sec(t)**2"),
    (r"\int \csc x\cot x\,dx", "csc(x)*cot(x)"),
    (r"\int \sinh(2x)\,dx", "sinh(2*x)"),
    (r"\int \frac{1}{x\ln x}\,dx", "1/(x*log(x))"),
    (r"\int \frac{\ln x}{x} dx", "log(x)/x"),
    (r"\int (\ln x)^2 dx", "log(x)**2"),
    (r"\int \ln^2 x\,dx", "log(x)**2"),
    (r"\int \ln(x^2+1)\,dx", "log(x**2+1)"),
    (r"\int \left(x^3 - 2x + 1\right) dx", "x**3-2*x+1"),
    (r"\int (3x^2+2x+1)\,dx", "3*x**2+2*x+1"),
    (r"\int x(x+1)^5\,dx", "x*(x+1)**5"),
    (r"\int \frac{1}{(x-1)(x+2)}\,dx", "1/((x-1)*(x+2))"),
    (r"\int \frac{3x+5}{x^3-x^2-x+1}\,dx", "(3*x+5)/(x**3-x**2-x+1)"),
    (r"\int e^{-x}\sin x\,dx", "exp(-x)*sin(x)"),
    (r"\int e^{ax}\cos(bx)\,dx", "exp(a*x)*cos(b*x)"),
    (r"\int \exp(-x^2/2) dx", "exp(-x**2/2)"),
    (r"\int \exp\left(-\frac{x^2}{2}\right) dx", "exp(-x**2/2)"),
    (r"\int \frac{e^x}{1+e^x}\,dx", "exp(x)/(1+exp(x))"),
    (r"\int 2^x\,dx", "2**x"),
    (r"\int x^{1/2}\,dx", "x**(1/2)"),
    (r"\int x^{-\frac{1}{2}}\,dx", "x**(-1/2)"),
    (r"\int \frac{dx}{\sqrt{a^2-x^2}}", "1/sqrt(a**2-x**2)"),
    (r"\int \frac{dx}{a^2+x^2}", "1/(a**2+x**2)"),
    (r"\int |x|\,dx", "abs(x)"),
    (r"\int_{-1}^{1} \left|x\right| dx", "abs(x)"),
    (r"\int_0^{\pi} \sin x\,dx", "sin(x)"),
    (r"\int_0^{\pi/2} \sin^4 x \, dx", "sin(x)**4"),
    (r"\int_0^{\frac{\pi}{2}} \ln(\sin x)\,dx", "log(sin(x))"),
    (r"\int_{0}^{2\pi} \frac{d\theta}{2+\cos\theta}", "1/(2+cos(theta))"),
    (r"\int_0^1 \frac{\ln(1+x)}{1+x^2} dx", "log(1+x)/(1+x**2)"),
    (r"\int_1^e \ln x\,dx", "log(x)"),
    (r"\int_1^\infty \frac{1}{x^2} dx", "1/x**2"),
    (r"\int\limits_0^1 x\,dx", "x"),
    (r"\displaystyle\int_{0}^{1} \dfrac{x}{1+x}\,dx", "x/(1+x)"),
    (r"$\int x\cos x\,dx$", "x*cos(x)"),
    (r"$$\int x\cos x\,dx$$", "x*cos(x)"),
    (r"\[\int x\cos x\,dx\]", "x*cos(x)"),
    (r"\(\int x\cos x\,dx\)", "x*cos(x)"),
    (r"\int x\cos x\,dx.", "x*cos(x)"),
    (r"\int x\cos x\,dx =", "x*cos(x)"),
    (r"\int{x^2dx}", "x**2"),
    (r"\int {\frac{1}{x}} dx", "1/x"),
    (r"\int \frac 1 x dx", "1/x"),
    (r"\int \frac1x\,dx", "1/x"),
    (r"\int \frac12 x\,dx", "x/2"),
    (r"\int \cfrac{1}{1+x^2}\,dx", "1/(1+x**2)"),
    (r"\int \tfrac{1}{2} x\,dx", "x/2"),
    (r"\int \frac{\sin x}{1+\cos^2 x}\,dx", "sin(x)/(1+cos(x)**2)"),
    (r"\int \sin 2x\,dx", "sin(2*x)"),
    (r"\int \sin(3x)\cos(5x)\,dx", "sin(3*x)*cos(5*x)"),
    (r"\int \sin\left(x^2\right) dx", "sin(x**2)"),
    (r"\int \sin x \cos x\,dx", "sin(x)*cos(x)"),
    (r"\int 2\sin x\,dx", "2*sin(x)"),
    (r"\int x\sin x\,dx", "x*sin(x)"),
    (r"\int x^2\sin x\,dx", "x**2*sin(x)"),
    (r"\int x \cdot \sin x\,dx", "x*sin(x)"),
    (r"\int \frac{x}{2}\sin\frac{x}{2}\,dx", "x/2*sin(x/2)"),
    (r"\int \sin\frac{\pi x}{2}\,dx", "sin(pi*x/2)"),
    (r"\int \cos(\omega t + \varphi)\,dt", "cos(omega*t+varphi)"),
    (r"\int \lambda e^{-\lambda t}\,dt", "lambda*exp(-lambda*t)"),
    (
        r"\int \frac{1}{\sqrt{2\pi}\sigma} e^{-\frac{(x-\mu)^2}{2\sigma^2}}\,dx",
        "1/(sqrt(2*pi)*sigma)*exp(-(x-mu)**2/(2*sigma**2))",
    ),
    (r"\int x_1^2 \, dx_1", "x_1**2"),
    (r"\int u\,du", "u"),
    (r"\int y^2\,dy", "y**2"),
    (r"\int z e^{z}\,{\rm d}z", "z*exp(z)"),
    (r"\int \sqrt{\tan x}\,dx", "sqrt(tan(x))"),
    (r"\int \frac{\sqrt{x^2-1}}{x}\,dx", "sqrt(x^2-1)/x"),
    (r"\int \frac{1}{x^4+1}\mathop{}\!\mathrm{d}x", "1/(x**4+1)"),
    (r"\int x\,\mathrm dx", "x"),
    (r"\int e^{\sqrt{x}}\,dx", "exp(sqrt(x))"),
    (r"\int e^{\sin x}\cos x\,dx", "exp(sin(x))*cos(x)"),
    (r"\int \left(\frac{x}{x+1}\right)^2 dx", "(x/(x+1))**2"),
    (r"\int \left[ x^2 + \sin(x) \right] dx", "x**2+sin(x)"),
    (r"\int \{x+1\}\,dx", "x+1"),
    (r"\int \max(x, 1)\,dx", "Max(x, 1)"),
    (r"\int \lfloor x \rfloor\,dx", "floor(x)"),
    (r"\int \log x\,dx", "log(x)"),
    (r"\int \log_{10} x\,dx", "log(x)/log(10)"),
    (r"\int \sin^{-1}\left(\frac{x}{2}\right) dx", "asin(x/2)"),
    (r"\int (\sin x)^{2}\,dx", "sin(x)**2"),
    (r"\int \frac{1+\tan^2x}{\tan x}\,dx", "(1+tan(x)**2)/tan(x)"),
    (r"\int x^{10}(1-x)^{10}\,dx", "x**10*(1-x)**10"),
    (r"\int x^n\,dx", "x**n"),
    (r"\int_0^1\!\! x\,dx", "x"),
    (r"x^2+1", "x**2+1"),
    (r"\frac{x^2-1}{x+1}", "(x**2-1)/(x+1)"),
    (r"\int x \sgn(x)\,dx", "x*sign(x)"),
    (r"\int \operatorname{sgn}(x)\,dx", "sign(x)"),
    (r"\int \operatorname{erf}(x)\,dx", "erf(x)"),
    (r"\int\frac{\mathrm{d}t}{t\ln t}", "1/(t*log(t))"),
    (r"\int \mathrm{e}^{-x}\,\mathrm{d}x", "exp(-x)"),
    (r"\int\!\frac{x^2}{x^3+1}\,dx", "x**2/(x**3+1)"),
    (r"\int x^2\, \mathrm{d} x\,+\,C", "x**2"),
    (r"\int {x \over x+1}\,dx", "x/(x+1)"),
    (r"\int \sin {x}\,dx", "sin(x)"),
    (r"\int \sin x^2\,dx", "sin(x**2)"),
    (r"\int \frac{x^3}{\sqrt{x^2+4}}dx,", "x**3/sqrt(x**2+4)"),
    (r"\int x\ dx", "x"),
    (r"\int 5dx", "5"),
    (r"\int dx", "1"),
    (r"\int -x\,dx", "-x"),
    (r"\int\limits_{-\pi}^{\pi} x\sin(nx)\,dx", "x*sin(n*x)"),
    (r"\int \left( {1 \over x} + {1 \over x^2} \right) dx", "1/x+1/x**2"),
    (r"\int 2x\left(x^{2}+1\right)^{3}dx", "2*x*(x**2+1)**3"),
    (r"\int \cot(x)\,\mathrm{d}x", "cot(x)"),
    (r"\int \coth x\,dx", "coth(x)"),
    (r"\int \operatorname{sech}^2 x\,dx", "sech(x)**2"),
    (r"\int \text{sech}(x)\,dx", "sech(x)"),
    (r"\int \arccos\left(x\right)dx", "acos(x)"),
    (r"\int x\arctan x\,dx", "x*atan(x)"),
    (r"\int\tan^{2}\theta\sec\theta\,d\theta", "tan(theta)**2*sec(theta)"),
]
REFUSED = [
    r"\int f\left(x\right)dx",
    r"\int \frac{d}{dx} x^2\,dx",
    r"\int x^12\,dx",
    r"e^{i x}",
    r"\int \sin x (x+1) dx",
    r"\int \lg x\,dx",
    r"\int \binom{5}{2} x\,dx",
    r"\int 3!x\,dx",
]


def _read(text: str) -> Expr:
    integral = whole_integral(text)
    return parse(integral[0] if integral else text)


def _agree(a: Expr, b: Expr) -> bool:
    for seed in range(4):
        rng = random.Random(seed)
        point = {n: rng.uniform(0.2, 0.9) for n in sorted(a.free | b.free)}
        u, v = (complex(evaluate(e, {n: point[n] for n in e.free})) for e in (a, b))
        if not abs(u - v) <= 1e-9 * (1 + abs(u)):
            return False
    return True


@pytest.mark.parametrize(("text", "meaning"), TYPICAL)
def test_read_as_meant(text: str, meaning: str) -> None:
    assert _agree(_read(text), parse(meaning))


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(InputError):
        _read(text)
