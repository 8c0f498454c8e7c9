"""A working day of a mathematician: tasks after the tables of contents of textbooks of calculus,
differential equations and transforms, each with its right answer.

Every row is (kind, arguments, answer). The answer is text in the names of SymPy, worked out by hand
or taken from a table of standard integrals, so that it does not depend on this package.
"""

from __future__ import annotations

Row = tuple[str, tuple, str]

DEFINITE: list[Row] = [
    ("definite", args, answer)
    for *args_, answer in [
        ("x**2", "x", "0", "3", "9"),
        ("x**10", "x", "0", "1", "1/11"),
        ("sin(x)", "x", "0", "pi", "2"),
        ("x*exp(-x)", "x", "0", "oo", "1"),
        ("exp(-x**2)", "x", "-oo", "oo", "sqrt(pi)"),
        ("x**2*exp(-x**2)", "x", "-oo", "oo", "sqrt(pi)/2"),
        ("x**4*exp(-x**2/2)", "x", "-oo", "oo", "3*sqrt(2*pi)"),
        ("1/(1+x**2)", "x", "-oo", "oo", "pi"),
        ("1/(1+x**4)", "x", "0", "oo", "pi*sqrt(2)/4"),
        ("sin(x)/x", "x", "0", "oo", "pi/2"),
        ("(sin(x)/x)**2", "x", "-oo", "oo", "pi"),
        ("cos(x)/(1+x**2)", "x", "-oo", "oo", "pi*exp(-1)"),
        ("x*sin(x)/(1+x**2)", "x", "0", "oo", "pi*exp(-1)/2"),
        ("x**3/(exp(x)-1)", "x", "0", "oo", "pi**4/15"),
        ("x/(exp(x)+1)", "x", "0", "oo", "pi**2/12"),
        ("x/sinh(x)", "x", "0", "oo", "pi**2/4"),
        ("log(x)", "x", "0", "1", "-1"),
        ("x*log(x)", "x", "0", "1", "-1/4"),
        ("log(x)**2", "x", "0", "1", "2"),
        ("log(x)/(1+x)", "x", "0", "1", "-pi**2/12"),
        ("log(1+x)/x", "x", "0", "1", "pi**2/12"),
        ("log(1+x)/(1+x**2)", "x", "0", "1", "pi*log(2)/8"),
        ("log(sin(x))", "x", "0", "pi/2", "-pi*log(2)/2"),
        ("1/sqrt(x)", "x", "0", "1", "2"),
        ("1/sqrt(1-x**2)", "x", "-1", "1", "pi"),
        ("sqrt(1-x**2)", "x", "-1", "1", "pi/2"),
        ("sqrt(x*(1-x))", "x", "0", "1", "pi/8"),
        ("sin(x)**4", "x", "0", "2*pi", "3*pi/4"),
        ("1/(2+cos(x))", "x", "0", "2*pi", "2*pi/sqrt(3)"),
        ("1/(5-4*cos(x))", "x", "0", "2*pi", "2*pi/3"),
        ("exp(cos(x))*cos(sin(x))", "x", "0", "2*pi", "2*pi"),
        ("x*sin(x)/(1+cos(x)**2)", "x", "0", "pi", "pi**2/4"),
        ("sqrt(sin(x))/(sqrt(sin(x))+sqrt(cos(x)))", "x", "0", "pi/2", "pi/4"),
        ("1/(1+tan(x)**3)", "x", "0", "pi/2", "pi/4"),
        ("abs(x-1)", "x", "0", "3", "5/2"),
        ("abs(sin(x))", "x", "0", "2*pi", "4"),
        ("exp(-x)*sin(x)/x", "x", "0", "oo", "pi/4"),
        ("(exp(-x)-exp(-3*x))/x", "x", "0", "oo", "log(3)"),
        ("(x**2-1)/log(x)", "x", "0", "1", "log(3)"),
        ("1/x", "x", "1", "oo", "diverges"),
        ("1/x**2", "x", "-1", "1", "diverges"),
        ("tan(x)", "x", "0", "pi/2", "diverges"),
        ("exp(-a*x)", "x", "0", "oo", "1/a"),
        ("exp(-a*x)", "x", "0", "1", "(1-exp(-a))/a"),
        ("exp(-a*x**2)", "x", "-oo", "oo", "sqrt(pi/a)"),
        ("x**n", "x", "0", "1", "1/(n+1)"),
        ("cos(x)", "x", "0", "a", "sin(a)"),
        ("1/(x**2+a**2)", "x", "-oo", "oo", "pi/a"),
        ("exp(-a*x)*cos(b*x)", "x", "0", "oo", "a/(a**2+b**2)"),
        ("x**2*exp(-a*x)", "x", "0", "oo", "2/a**3"),
    ]
    for args in [tuple(args_)]
]  # fmt: skip

INDEFINITE: list[Row] = [
    ("indefinite", (f, "x"), answer)
    for f, answer in [
        ("x**3 - 2*x", "x**4/4 - x**2"),
        ("x*cos(x)", "x*sin(x) + cos(x)"),
        ("1/(x**2-1)", "log((x-1)/(x+1))/2"),
        ("exp(x)*sin(x)", "exp(x)*(sin(x)-cos(x))/2"),
        ("log(x)", "x*log(x)-x"),
        ("1/(x**3+1)", "log(x+1)/3 - log(x**2-x+1)/6 + atan((2*x-1)/sqrt(3))/sqrt(3)"),
        ("sec(x)**3", "(sec(x)*tan(x) + log(sec(x)+tan(x)))/2"),
        ("sqrt(1+x**2)", "(x*sqrt(1+x**2)+asinh(x))/2"),
        ("x**2*exp(-x)", "-(x**2+2*x+2)*exp(-x)"),
        ("atan(x)", "x*atan(x)-log(1+x**2)/2"),
        ("1/(x*log(x))", "log(log(x))"),
        ("sin(x)**2*cos(x)**3", "sin(x)**3/3-sin(x)**5/5"),
        ("exp(-x**2)", "sqrt(pi)*erf(x)/2"),
        ("Max(x, 1)", "Piecewise((x, x < 1), (x**2/2 + 1/2, True))"),
        ("abs(x)", "x*Abs(x)/2"),
    ]
]

ODES: list[Row] = [
    ("ode", args, answer)
    for *args_, answer in [
        ("y' = k*y", {}, "c1*exp(k*x)"),
        ("y' + y/x = x", {}, "x**2/3 + c1/x"),
        ("y' = y*(1-y)", {}, "1/(1+c1*exp(-x))"),
        ("y' = r*y*(1-y/K)", {}, "K/(1+c1*exp(-r*x))"),
        ("y'' + w**2*y = 0", {}, "c1*cos(w*x)+c2*sin(w*x)"),
        ("y'' - a**2*y = 0", {}, "c1*exp(a*x)+c2*exp(-a*x)"),
        ("y'' + 2*y' + 5*y = 0", {}, "exp(-x)*(c1*cos(2*x)+c2*sin(2*x))"),
        ("y'' + w**2*y = F*cos(k*x)", {}, "c1*cos(w*x)+c2*sin(w*x)+F*cos(k*x)/(w**2-k**2)"),
        ("x**2*y'' + x*y' - y = 0", {}, "c1*x + c2/x"),
        ("y''' - y = 0", {}, "c1*exp(x)+exp(-x/2)*(c2*cos(sqrt(3)*x/2)+c3*sin(sqrt(3)*x/2))"),
        ("y'''' - y = 0", {}, "c1*exp(x)+c2*exp(-x)+c3*cos(x)+c4*sin(x)"),
        ("y'''' - k**4*y = 0", {}, "c1*exp(k*x)+c2*exp(-k*x)+c3*cos(k*x)+c4*sin(k*x)"),
        ("y''' + y' = x", {}, "c1+c2*cos(x)+c3*sin(x)+x**2/2"),
        ("y' = y", {"y(0)": "3"}, "3*exp(x)"),
        ("y' = y**2", {"y(0)": "1"}, "1/(1-x)"),
        ("y'' + y = 0", {"y(0)": "1", "y'(0)": "0"}, "cos(x)"),
        ("y'' + w**2*y = 0", {"y(0)": "A", "y'(0)": "v"}, "A*cos(w*x)+v*sin(w*x)/w"),
        ("y'' + 3*y' + 2*y = exp(x)", {"y(0)": "0", "y'(0)": "0"},
         "exp(x)/6 - exp(-x)/2 + exp(-2*x)/3"),
        ("y'' = 0", {"y(0)": "0", "y(1)": "1"}, "x"),
        ("L*y' + R*y = V", {"y(0)": "0"}, "V*(1-exp(-R*x/L))/R"),
    ]
    for args in [tuple(args_)]
]  # fmt: skip

LIMITS: list[Row] = [
    ("limit", args, answer)
    for *args_, answer in [
        ("sin(x)/x", "x", "0", "1"),
        ("(1+1/x)**x", "x", "oo", "E"),
        ("(1-cos(x))/x**2", "x", "0", "1/2"),
        ("x*log(x)", "x", "0", "0"),
        ("(exp(x)-1-x)/x**2", "x", "0", "1/2"),
        ("sqrt(x**2+x)-x", "x", "oo", "1/2"),
        ("(tan(x)-sin(x))/x**3", "x", "0", "1/2"),
        ("x**(1/x)", "x", "oo", "1"),
        ("(1+a/x)**x", "x", "oo", "exp(a)"),
        ("sin(a*x)/sin(b*x)", "x", "0", "a/b"),
        ("1/x**2", "x", "0", "oo"),
        ("log(x)/x", "x", "oo", "0"),
    ]
    for args in [tuple(args_)]
]

SERIES: list[Row] = [
    ("series", args, answer)
    for *args_, answer in [
        ("exp(x)", "x", "0", 4, "1+x+x**2/2+x**3/6"),
        ("sin(x)", "x", "0", 6, "x-x**3/6+x**5/120"),
        ("log(1+x)", "x", "0", 4, "x-x**2/2+x**3/3"),
        ("sqrt(1+x)", "x", "0", 3, "1+x/2-x**2/8"),
        ("1/sin(x)", "x", "0", 3, "1/x+x/6"),
        ("tan(x)", "x", "0", 6, "x+x**3/3+2*x**5/15"),
        ("log(x)", "x", "1", 3, "(x-1)-(x-1)**2/2"),
        ("exp(a*x)", "x", "0", 3, "1+a*x+a**2*x**2/2"),
    ]
    for args in [tuple(args_)]
]

SUMS: list[Row] = [
    ("summation", ("k", "k", "1", "n"), "n*(n+1)/2"),
    ("summation", ("k**2", "k", "1", "n"), "n*(n+1)*(2*n+1)/6"),
    ("summation", ("2**k", "k", "0", "n"), "2**(n+1)-1"),
    ("summation", ("1/k**2", "k", "1", "oo"), "pi**2/6"),
    ("summation", ("1/(k*(k+1))", "k", "1", "oo"), "1"),
    ("summation", ("1/2**k", "k", "0", "oo"), "2"),
    ("summation", ("(-1)**k/(2*k+1)", "k", "0", "oo"), "pi/4"),
    ("summation", ("1/k", "k", "1", "oo"), "diverges"),
    ("product", ("k/(k+1)", "k", "1", "n"), "1/(n+1)"),
    ("product", ("1-1/k**2", "k", "2", "oo"), "1/2"),
]

SOLVE: list[Row] = [
    ("solve", ("x**2-5*x+6", "x"), "2; 3"),
    ("solve", ("a*x**2+b*x+c", "x"), "(-b+sqrt(b**2-4*a*c))/(2*a); (-b-sqrt(b**2-4*a*c))/(2*a)"),
    ("solve", ("x**3-1", "x"), "1; -1/2+sqrt(3)*I/2; -1/2-sqrt(3)*I/2"),
    ("solve", ("exp(x)=3", "x"), "log(3)"),
    ("solve", ("log(x)+log(x-1)=log(6)", "x"), "3"),
    ("solve", ("sqrt(x+3)=x+1", "x"), "1"),
]

TRANSFORMS: list[Row] = [
    ("laplace", ("t*exp(-a*t)", "t", "s"), "1/(s+a)**2"),
    ("laplace", ("sin(w*t)", "t", "s"), "w/(s**2+w**2)"),
    ("laplace", ("t**3", "t", "s"), "6/s**4"),
    ("fourier", ("exp(-x**2)", "x", "k"), "sqrt(pi)*exp(-k**2/4)"),
    ("fourier", ("exp(-abs(x))", "x", "k"), "2/(1+k**2)"),
]

TASKS = [*DEFINITE, *INDEFINITE, *ODES, *LIMITS, *SERIES, *SUMS, *SOLVE, *TRANSFORMS]
POSITIVE = ("a", "b", "n", "w", "k", "r", "K", "L", "R", "V", "F")
"""Symbols that stand for positive numbers in the definite integrals and transforms."""
