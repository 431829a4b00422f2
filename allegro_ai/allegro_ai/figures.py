"""What a running policy says about itself: cadence, latency, CPU time and reasons, for diagnostics and the log."""

from __future__ import annotations

import time

from allegro_ai.cadence import Recent
from allegro_ai.grasp_loop import MS, GraspLoop, JointSample, TouchSample


class Figures:
    """Collects the numbers of one activation."""

    def __init__(self, loop: GraspLoop, backend: str, warmup_p99_ms: float) -> None:
        """Begin to count now.

        Args:
            loop: the running policy.
            backend: name of its inference backend.
            warmup_p99_ms: 99th percentile of the inference time before it ran.
        """
        self._loop, self._backend, self._warmup_p99_ms = loop, backend, warmup_p99_ms
        self._before = dict(loop.counts)
        self._since = time.monotonic()
        self.late_ms = Recent()

    @property
    def rate_hz(self) -> float:
        """Achieved control rate."""
        return self._count('ticks') / max(time.monotonic() - self._since, 1e-9)

    def off_rate(self) -> bool:
        """Whether the achieved rate leaves the tolerance of the bundle; not judged within the first second."""
        runtime = self._loop.bundle.contract['runtime']
        settled = time.monotonic() - self._since > 1.0
        return settled and abs(self.rate_hz / float(runtime['rate_hz']) - 1) > float(runtime['rate_tolerance'])

    def values(self, now_ns: int, joints: JointSample | None, touch: TouchSample | None) -> dict[str, object]:
        """All numbers, keys with units; ages are empty where nothing has arrived."""
        loop = self._loop
        inferences = max(loop.counts['inferences'], 1)
        return {
            'phase': loop.phase.name, 'mode': loop.mode, 'policy': loop.bundle.name, 'backend': self._backend,
            'hold_reason': loop.reason, 'rate_hz': self.rate_hz, **loop.counts,
            'joint_states_age_ms': '' if joints is None else (now_ns - joints.stamp_ns) / MS,
            'touch_age_ms': '' if touch is None else (now_ns - touch.stamp_ns) / MS,
            'late_p99_ms': self.late_ms.percentile(99),
            'latency_p50_ms': loop.latency_ms.percentile(50), 'latency_p99_ms': loop.latency_ms.percentile(99),
            'warmup_p99_ms': self._warmup_p99_ms,
            'inference_cpu_s': loop.cpu_total_s, 'cpu_ms_per_inference': loop.cpu_total_s * 1e3 / inferences,
            'ood_score': loop.score, 'sim2real': loop.bundle.contract['evaluation']['sim2real'],
        }

    def sentence(self) -> str:
        """The cadence in one line."""
        loop = self._loop
        return (
            f'{self._count("ticks")} ticks at {self.rate_hz:.2f} Hz, {self._count("skipped")} skipped, '
            f'{self._count("repeated")} without a new joint state, late p50 {self.late_ms.percentile(50):.2f} p99 '
            f'{self.late_ms.percentile(99):.2f} ms; {self._count("inferences")} inferences, p50 '
            f'{loop.latency_ms.percentile(50):.3f} p99 {loop.latency_ms.percentile(99):.3f} ms; '
            f'{self._count("holds")} holds'
        )

    def _count(self, name: str) -> int:
        return self._loop.counts[name] - self._before[name]
