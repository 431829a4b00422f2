"""What a bag has to say about the nodes it was recorded from: parameters, hand, calibration, policy and its hash."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from allegro_ai.bundle import find_bundle
from allegro_ai.contents import read_contents
from allegro_ai.integrity import fingerprint
from allegro_description.errors import AllegroError, ProtocolError
from allegro_driver.calibration import calibration_folder, calibration_path
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.parameter import parameter_value_to_python
from rclpy.utilities import get_rmw_implementation_identifier

from allegro_bench.bags.cdr import Cursor
from allegro_bench.bags.rows import statuses

_TOLD = {
    'hand_driver': {'serial': 'hand_serial', 'side': 'hand_side', 'version': 'hand_version'},
    'grasp_policy': {'policy': 'policy', 'backend': 'policy_backend', 'mode': 'policy_mode'},
}
"""Node → key of its diagnostics → fact in the metadata."""
_MOST_NODES = 64


def own_facts() -> dict[str, str]:
    """The recorder itself: versions of the suite, the distribution and the middleware."""
    try:
        suite = version('allegro_bench')
    except PackageNotFoundError:
        suite = 'unknown'
    return {'suite_version': suite, 'ros_distro': os.environ.get('ROS_DISTRO', ''),
            'rmw': get_rmw_implementation_identifier()}


class Provenance:
    """Asks every node of the namespace once for its parameters, and listens to what the suite's nodes tell."""

    def __init__(self, node: Any, tell: Callable[[dict[str, str]], None]) -> None:
        """Nothing is asked yet.

        Args:
            node: the recorder.
            tell: takes facts for the metadata.
        """
        self._node, self._tell = node, tell
        self._waiting: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        self._heard: dict[str, str] = {}
        self._parameters: dict[str, dict[str, Any]] = {}

    def hear(self, data: bytes) -> None:
        """A serialised message of ``/diagnostics``."""
        try:
            found = statuses(Cursor(data))
        except ProtocolError:
            return
        facts: dict[str, str] = {}
        for status in found:
            keys = _TOLD.get(str(status['name']).split(':')[0], {})
            facts |= {fact: str(status['values'][key]) for key, fact in keys.items() if status['values'].get(key)}
        if any(self._heard.get(key) != value for key, value in facts.items()):
            self._heard.update(facts)
            self._tell(dict(self._heard) | self._calibration())

    def look(self) -> None:
        """Ask nodes that are new here."""
        for name, space in self._node.get_node_names_and_namespaces():
            full = f'{space.rstrip("/")}/{name}'
            strange = space != self._node.get_namespace() or name.startswith('_') or name == self._node.get_name()
            if strange or full in self._asked or len(self._asked) >= _MOST_NODES:
                continue
            if full not in self._waiting:
                self._waiting[full] = self._node.create_client(ListParameters, f'{full}/list_parameters')
            if self._waiting[full].service_is_ready():
                self._asked[full] = client = self._waiting.pop(full)
                client.call_async(ListParameters.Request()).add_done_callback(partial(self._listed, full))

    def _listed(self, full: str, future: Any) -> None:
        names = sorted(future.result().result.names) if future.exception() is None else []
        self._node.destroy_client(self._asked[full])
        self._asked[full] = client = self._node.create_client(GetParameters, f'{full}/get_parameters')
        client.call_async(GetParameters.Request(names=names)).add_done_callback(partial(self._got, full, names))

    def _got(self, full: str, names: list[str], future: Any) -> None:
        if future.exception() is not None:
            return
        values = {n: parameter_value_to_python(v) for n, v in zip(names, future.result().values, strict=False)}
        values = {n: v if v is None or isinstance(v, (bool, int, float, str)) else list(v) for n, v in values.items()}
        self._parameters[full.rsplit('/', 1)[1]] = values
        facts = {f'parameters {full}': json.dumps(values, default=str, ensure_ascii=False)}
        self._tell(facts | self._bundle() | self._calibration())

    def _bundle(self) -> dict[str, str]:
        """Hash of the policy's files, where they lie on this machine too."""
        given = self._parameters.get('grasp_policy', {}).get('policy')
        if not given:
            return {}
        try:
            return {'bundle_sha256': fingerprint(read_contents(find_bundle(given)))}
        except (AllegroError, OSError) as error:
            return {'bundle_sha256': f'unknown: {error}'}

    def _calibration(self) -> dict[str, str]:
        """The calibration file of the hand, where it lies on this machine too."""
        serial, driver = self._heard.get('hand_serial', ''), self._parameters.get('hand_driver')
        if driver is None or not serial or serial == 'unknown':
            return {}
        try:
            path = calibration_path(calibration_folder(str(driver.get('calibration_dir') or '')), serial)
            return {'calibration': path.read_text(encoding='utf-8')}
        except FileNotFoundError:
            return {'calibration': 'none found on the recording machine'}
        except (AllegroError, OSError, UnicodeDecodeError) as error:
            return {'calibration': f'unknown: {error}'}
