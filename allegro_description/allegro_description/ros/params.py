"""ROS parameters from the configuration dataclasses of :mod:`allegro_description.config`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node

from allegro_description.config import Parameter, parameters
from allegro_description.errors import AllegroError, ConfigError

C = TypeVar('C')

_INT64 = 2**63 - 1


def descriptor(declared: Parameter) -> ParameterDescriptor:
    """Describe one parameter to ROS: meaning, unit, range, and read-only unless it is ``live``."""
    text = f'{declared.doc} [{declared.unit}]' if declared.unit else declared.doc
    result = ParameterDescriptor(
        name=declared.name, description=text, additional_constraints=declared.allowed(), read_only=not declared.live,
    )
    if declared.low is not None or declared.high is not None:
        if declared.kind == 'float':
            low = -sys.float_info.max if declared.low is None else float(declared.low)
            high = sys.float_info.max if declared.high is None else float(declared.high)
            result.floating_point_range = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
        elif declared.kind == 'int':
            lowest = -_INT64 if declared.low is None else int(declared.low)
            highest = _INT64 if declared.high is None else int(declared.high)
            result.integer_range = [IntegerRange(from_value=lowest, to_value=highest, step=1)]
    return result


def declare(node: Node, config_class: type[C], callback: Callable[[C], None] | None = None) -> C:
    """Declare every field of ``config_class`` on ``node`` and return the configuration with the given values.

    Whole numbers are accepted where a float is declared. A parameter that another configuration of this node has
    already declared is read, not declared twice. Live parameters that change later are validated and handed to
    ``callback`` as a complete new configuration; what it raises as :class:`AllegroError` refuses the change.

    Raises:
        ConfigError: a value is not allowed; one sentence says which, and what is.
    """
    declared = {p.name: p for p in parameters(config_class)}
    current = [config_class(**{name: _declare_one(node, p) for name, p in declared.items()})]

    def changed(changes: list[Any]) -> SetParametersResult:
        ours = [p for p in changes if p.name in declared]
        if not ours:
            return SetParametersResult(successful=True)
        try:
            values = {p.name: declared[p.name].check(_plain(p.value)) for p in ours}
            config = dataclasses.replace(current[0], **values)  # type: ignore[type-var]
            if callback is not None:
                callback(config)
        except AllegroError as error:
            return SetParametersResult(successful=False, reason=str(error))
        current[0] = config
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(changed)
    return current[0]


def undeclared(node: Node) -> list[str]:
    """Names that were given on the command line or in a file, but that no configuration of ``node`` declares."""
    given = getattr(node, '_parameter_overrides', {})
    return sorted(name for name in given if not node.has_parameter(name))


def _declare_one(node: Node, declared: Parameter) -> Any:
    if node.has_parameter(declared.name):
        return declared.check(_plain(node.get_parameter(declared.name).value))
    default = _plain(declared.default)
    # A first, untyped declaration reads the override whatever its type; only then can 100 be taken for 100.0 and a
    # wrong type be refused in our own words.
    given = node.declare_parameter(declared.name, default, ParameterDescriptor(dynamic_typing=True)).value
    node.undeclare_parameter(declared.name)
    try:
        value = declared.check(_plain(given))
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f'parameter {declared.name!r} is {given!r}; allowed: {declared.allowed()}') from error
    node.declare_parameter(declared.name, _plain(value), descriptor(declared), ignore_override=True)
    return value


def _plain(value: Any) -> Any:
    """ROS hands arrays out as ``array.array``; the checks want lists."""
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if hasattr(value, 'tolist') else value
