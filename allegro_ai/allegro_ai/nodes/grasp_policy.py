"""The policy node: newest measurements in, joint commands out, at the rate the policy was trained at.

``~/grasp`` ramps to the start pose, closes gently and lets the policy hold; ``~/release`` opens to the start pose.
Everything that decides is in :mod:`allegro_ai.grasp_loop`; here are the lifecycle, two services and one thread.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from allegro_description.errors import BundleError, CommandRefused
from allegro_description.model import load_hand
from allegro_description.prefix import prefixed
from allegro_description.ros.node import ERROR, OK, WARN, Diagnosis, ManagedNode, run
from std_srvs.srv import Trigger

from allegro_ai.bundle import load_bundle
from allegro_ai.cadence import Beat, Metronome
from allegro_ai.config import GraspPolicyConfig
from allegro_ai.contract import check_mode
from allegro_ai.deployment import warm_up
from allegro_ai.figures import Figures
from allegro_ai.fused_step import fuse
from allegro_ai.grasp import Phase
from allegro_ai.grasp_loop import MS, GraspLoop
from allegro_ai.nodes.driver_check import DriverCheck
from allegro_ai.nodes.inputs import Inputs
from allegro_ai.nodes.outputs import Outputs
from allegro_ai.signing import settings

_INPUT_TIMEOUT_S = 1.0
_PLAYER_TIMEOUT_S = 10.0   # a recording begins when its player has found everybody
_SWITCH_INTERVAL_S = 0.0005
_GRASPING = (Phase.RAMP, Phase.CLOSE, Phase.RUN)


class GraspPolicy(ManagedNode):
    """Lifecycle node ``grasp_policy``."""

    def __init__(self) -> None:
        super().__init__('grasp_policy', GraspPolicyConfig)
        self._loop: GraspLoop | None = None
        self._inputs: Inputs | None = None
        self._check: DriverCheck | None = None
        self._figures: Figures | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._fault = ''
        self._outputs = Outputs(self)
        self.create_service(Trigger, '~/grasp', lambda request, answer: self._serve('grasp', answer))
        self.create_service(Trigger, '~/release', lambda request, answer: self._serve('release', answer))

    # Lifecycle --------------------------------------------------------------------------------------------------

    def configure_hand(self) -> None:
        """Load and validate the bundle, replay its golden vectors, warm up, subscribe."""
        config = self.config
        model = load_hand(config.model, config.side)
        self.hardware_id = model.name
        bundle = load_bundle(config.policy, model, **settings(config.require_signature, config.trusted_keys))
        check_mode(bundle.contract, config.mode)
        policy = bundle.policy(config.backend)
        if config.mode == 'live' and not policy.backend.faithful:
            raise BundleError(f'backend {config.backend} does not compute the policy; a live hand needs one that does')
        self._warmup_p99_ms = warm_up(bundle, policy, config.warmup)
        fused, apart = fuse(bundle, policy)
        self._loop = GraspLoop(bundle, policy, self._now, mode=config.mode, fused=fused)
        self._loop.builder.set_grip(config.grip)
        named = prefixed(model, config.prefix)
        self._outputs.describe(bundle, named)
        shadow = config.mode == 'shadow'
        self._inputs = Inputs(self, named, shadow=shadow, refused=lambda why: self._request('hold', why))
        if config.driver and not shadow:
            self._check = DriverCheck(self, config.driver, bundle, config.mode)
        golden = 'golden vectors agree' if policy.backend.faithful else 'does not compute the policy'
        whole = 'a step is one engine call' if fused is not None else f'steps in numpy ({apart})'
        self.get_logger().info(
            f'{bundle.name} on {config.backend}: {golden}, inference p99 {self._warmup_p99_ms:.3f} ms, {whole}, mode '
            f'{config.mode}; {bundle.signature.text}; on hardware: {bundle.contract["evaluation"]["sim2real"]}')

    def activate_hand(self) -> None:
        """Wait for fresh measurements, then start the control thread in IDLE."""
        assert self._loop is not None
        assert self._inputs is not None
        patience_s = _PLAYER_TIMEOUT_S if self.get_clock().ros_time_is_active else _INPUT_TIMEOUT_S
        self._inputs.wait(patience_s, self._loop.bundle.touch_required)
        problem = self._inputs.problem or self._loop.ready(self._inputs.joints, self._inputs.touch)
        if problem:
            raise CommandRefused(problem)
        self._fault = ''
        self._stop.clear()
        # What is loaded stays out of garbage collection, and threads take turns often: fewer late ticks.
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self._figures = Figures(self._loop, self.config.backend, self._warmup_p99_ms)
        self._thread = threading.Thread(target=self._run, name='policy', daemon=True)
        self._thread.start()

    def deactivate_hand(self) -> None:
        """Stop commanding (the driver then holds and relaxes by itself) and say how punctual it was."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.join(2.0)
        gc.unfreeze()
        if self._figures is not None:
            self.get_logger().info(self._figures.sentence())
        if self._loop is not None:
            self._loop.abandon()

    def cleanup_hand(self) -> None:
        """Drop subscriptions, the driver check and the policy."""
        if self._inputs is not None:
            self._inputs.close()
        if self._check is not None:
            self._check.close()
        if self._loop is not None:
            self._loop.policy.backend.close()  # type: ignore[attr-defined]
        self._loop = self._inputs = self._check = self._figures = None

    def config_changed(self, config: GraspPolicyConfig) -> None:
        """Only the grip class is live."""
        if self._loop is not None:
            self._loop.builder.set_grip(config.grip)

    # Services ---------------------------------------------------------------------------------------------------

    def _request(self, what: str, reason: str = '') -> None:
        if self._loop is not None:
            self._loop.request(what, reason)

    def _serve(self, what: str, answer: Any) -> Any:
        objection = self._objection(what)
        answer.success, answer.message = not objection, objection
        if not objection:
            self._request(what)
            shadow = ' (shadow: nothing is commanded)' if self.config.mode == 'shadow' else ''
            answer.message = f'{what} begins{shadow}'
        return answer

    def _objection(self, what: str) -> str:
        """Why ``what`` cannot be done now; '' when it can."""
        loop, inputs, check = self._loop, self._inputs, self._check
        if loop is None or inputs is None or self._thread is None:
            return f'grasp_policy is {self.lifecycle_state}; activate it first'
        if what == 'grasp' and loop.phase in _GRASPING:
            return f'a grasp is under way ({loop.phase.name})'
        # A hand that was fit once may always be opened.
        unfit = check.problem if check is not None and (what == 'grasp' or not check.passed) else ''
        return self._fault or unfit or inputs.problem or loop.ready(inputs.joints, inputs.touch)

    # The control thread -----------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _run(self) -> None:
        assert self._loop is not None
        metronome = Metronome(round(self._loop.bundle.period_s * 1e9), wait=self._stop.wait)
        try:
            while (beat := metronome.next()) is not None and not self._stop.is_set():
                self._beat(beat)
        except Exception as error:  # whatever it is: stop commanding, the driver's watchdog takes over
            self._fault = f'the control thread ended: {type(error).__name__}: {error}; deactivate and activate again'
            self.get_logger().fatal(self._fault)

    def _beat(self, beat: Beat) -> None:
        loop, inputs, figures = self._loop, self._inputs, self._figures
        assert loop is not None
        assert inputs is not None
        assert figures is not None
        scheduled_ns = self._now() - (time.monotonic_ns() - beat.scheduled_ns)
        figures.late_ms.add(beat.late_ns / MS)
        if self._check is not None and self._check.problem and loop.phase in _GRASPING:
            loop.request('hold', self._check.problem)
        tick = loop.tick(inputs.joints, inputs.touch, skipped=beat.skipped, followed=inputs.followed)
        if tick.target is not None:
            self._outputs.command(tick)
            loop.issued(self._now())
        if tick.action is not None:
            self._outputs.report(tick, loop.controller.target[0], backend=self.config.backend, index=beat.index,
                                 scheduled_ns=scheduled_ns)
        for event in tick.events:
            # Two statements, because rclpy allows one severity per line of code.
            if 'HOLD' in event or 'refused' in event or 'warning' in event:
                self.get_logger().warning(event)
            else:
                self.get_logger().info(event)

    # Diagnostics ------------------------------------------------------------------------------------------------

    def diagnostics(self) -> Diagnosis:
        """Phase, reasons, cadence, latency and CPU time per inference."""
        loop, inputs, figures = self._loop, self._inputs, self._figures
        if loop is None or inputs is None or figures is None:
            return WARN, 'not configured', {}
        unfit = self._check.problem if self._check is not None else ''
        rate = f'{figures.rate_hz:.1f} Hz, out of tolerance' if figures.off_rate() else ''
        problem = self._fault or inputs.problem or unfit or loop.reason or rate
        level = ERROR if self._fault else WARN if problem else OK
        return level, problem or loop.phase.name, figures.values(self._now(), inputs.joints, inputs.touch)


def main(args: Sequence[str] | None = None) -> int:
    """Entry point of ``grasp_policy``."""
    return run(GraspPolicy, args)


if __name__ == '__main__':
    raise SystemExit(main())
