"""CEL, the language of CRD rules and admission policies: `compile(expression, variables).evaluate(bindings)`.

The engine is Google's own (cel-expr-python, C++), loaded at the first `compile`; Kubernetes' functions are in
`library.py`. All variables are dynamic: a field that does not exist is found when the expression runs.
Sources: https://github.com/google/cel-spec, https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sampan.base.errors import SampanError

_CODE = re.compile(r"^[A-Z_]+: ")
_MISSING_KEY = re.compile(r'Key not found in map : "(.*)"')
_OVERLOAD = re.compile(r"No matching overloads found : ")


class CelError(SampanError):
    """The text is kube-apiserver's where the engines agree on one."""


class CompileError(CelError):
    """An expression that is none: syntax, names, types. The text shows the place."""


class EvaluationError(CelError):
    """A run that ended in an error: no such key, division by zero, …"""


class Program:
    """A compiled expression. `kind` is the CEL type of its result: "bool", "string", "dyn" (known at run time), …"""

    __slots__ = ("_compiled", "expression", "kind")

    def __init__(self, expression: str, compiled: Any) -> None:
        self.expression = expression
        self.kind = str(compiled.return_type().name()).lower()
        self._compiled = compiled

    def evaluate(self, bindings: Mapping[str, Any]) -> Any:
        """The result as plain Python. `bindings` are JSON values by variable name; all variables must be bound.

        Raises EvaluationError.
        """
        try:
            result = self._compiled.eval(data=bindings)
            value = result.plain_value()
        except RuntimeError as error:
            raise EvaluationError(_text(str(error))) from None
        except TypeError:
            raise EvaluationError("the result is of a type that has no JSON form") from None
        if result.type().name() == "ERROR":
            raise EvaluationError(_text(str(value)))
        return value


@lru_cache(maxsize=4096)
def compile(expression: str, variables: tuple[str, ...]) -> Program:
    """`variables`: the names the expression may use. Compiled programs are kept. Raises CompileError."""
    return check(expression, variables)


def check(expression: str, variables: tuple[str, ...]) -> Program:
    """`compile` for one look, not kept: many expressions are judged that never run. Raises CompileError."""
    try:
        return Program(expression, _environment(variables).compile(expression))
    except RuntimeError as error:
        text = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        raise CompileError(f"compilation failed: {text}") from None


@lru_cache(maxsize=64)
def _environment(variables: tuple[str, ...]) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

    from sampan.api.cel import library

    extensions = [
        ext_bindings.ExtBindings(),
        ext_encoders.ExtEncoders(),
        ext_math.ExtMath(),
        ext_optional.ExtOptional(),
        ext_strings.ExtStrings(),
        library.extension(),
    ]
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN), extensions=extensions)


def _text(text: str) -> str:
    """The engine's text as cel-go words it."""
    if "Iteration budget exceeded" in text:
        return "operation cancelled: actual cost limit exceeded"
    text = _CODE.sub("", re.sub(r" \[[A-Z_]+\]$", "", text))
    if found := _MISSING_KEY.fullmatch(text):
        return f"no such key: {found[1]}"
    if text == "divide by zero":
        return "division by zero"
    return _OVERLOAD.sub("no such overload: ", text)
