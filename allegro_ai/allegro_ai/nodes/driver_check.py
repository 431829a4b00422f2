"""Ask the running driver for the parameters that a policy depends on, again and again, without blocking."""

from __future__ import annotations

from typing import Any

from allegro_description.errors import AllegroError
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from allegro_ai.bundle import Bundle
from allegro_ai.deployment import DRIVER_PARAMETERS, check_driver

_PERIOD_S = 0.5


class DriverCheck:
    """Compares the driver's parameters with the bundle twice a second, because some of them can change.

    Attributes:
        problem: why nothing may be commanded; '' when the last answer was good.
        passed: whether an answer was ever good.
    """

    def __init__(self, node: Any, driver: str, bundle: Bundle, mode: str) -> None:
        """Begin to ask ``driver`` (a node name, relative to the namespace of ``node``)."""
        self._node: Node = node
        self._driver, self._bundle, self._mode = driver, bundle, mode
        self.problem = f'{driver} has not told its parameters yet; is it running?'
        self.passed = False
        self._pending: Any = None
        self._client = self._node.create_client(GetParameters, f'{driver}/get_parameters')
        self._timer = self._node.create_timer(_PERIOD_S, self._ask, clock=node.steady_clock)

    def close(self) -> None:
        """Stop asking."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_client(self._client)

    def _ask(self) -> None:
        if self._pending is not None and not self._pending.done():
            if not self._client.service_is_ready():
                self._client.remove_pending_request(self._pending)
                self._pending = None
            return
        if self._client.service_is_ready():
            self._pending = self._client.call_async(GetParameters.Request(names=list(DRIVER_PARAMETERS)))
            self._pending.add_done_callback(self._answered)

    def _answered(self, future: Any) -> None:
        try:
            values = [parameter_value_to_python(value) for value in future.result().values]
            check_driver(self._bundle, self._mode, dict(zip(DRIVER_PARAMETERS, values, strict=False)))
        except AllegroError as error:
            problem = str(error)
        except Exception as error:
            problem = f'{self._driver} does not answer for its parameters ({type(error).__name__})'
        else:
            problem, self.passed = '', True
        if problem and problem != self.problem:
            self._node.get_logger().error(problem)
        self.problem = problem
