"""A small benchmark result for tests: every block released by the real load generator, on a virtual clock."""

import hashlib
import uuid

import numpy as np
from allegro_bench.energy import window
from allegro_bench.load import run_periodic
from allegro_bench.meters.meter import Channel, Sample
from allegro_bench.results import blocks
from allegro_bench.results.document import new_document, save_ticks, write
from allegro_bench.results.summary import summarise
from allegro_bench.results.validity import judge
from allegro_bench.running.order import order
from allegro_bench.running.profiles import PROFILES, SEEDS

from allegro_bench import environment

MS, RATE = 1_000_000, 50.0
PERIOD = round(1e9 / RATE)
SERVICE_MS = {'onnxruntime/fp32': 0.4, 'openvino/fp32': 0.3, 'numpy/fp32': 0.9, 'null': 0.01}
REFERENCE = 'numpy/fp32'
WATTS, IDLE_W = {'onnxruntime/fp32': 8.0, 'openvino/fp32': 10.0, 'numpy/fp32': 9.0, 'null': 6.0}, 5.0
METER = Channel('rapl:package-0', 'powercap', 'counter', 'cpu_package', 'measured', 'powercap', 'uJ', 0.001, 6.1e-5)
GRID = {'intensity_g_per_kwh': 400.0, 'zone': 'XX', 'year': 2024, 'source': 'made up', 'kind': 'average'}


class VirtualClock:
    """Time that passes only when somebody sleeps or works."""

    def __init__(self, generator):
        self.now, self.generator = 10**12, generator

    def now_ns(self):
        return self.now

    def sleep_until(self, deadline_ns):
        self.now = max(self.now, deadline_ns) + int(self.generator.gamma(2.0, 2e3))

    def work(self, ms):
        self.now += int(ms * MS * self.generator.gamma(60.0, 1 / 60))


class Maker:
    """Runs blocks one after the other and notes them as the runner does."""

    def __init__(self, folder, *, profile='quick', metered=True, seed=3, stall=None):
        self.folder, self.profile, self.metered, self.stall = folder, PROFILES[profile], metered, stall
        self.clock = VirtualClock(np.random.default_rng(seed))
        self.joules = 0.0
        self.document = new_document()

    def mark(self, begin_ns, watts, end_ns):
        """Two readings of the meter around a block."""
        first, last = begin_ns - 2 * MS, end_ns + 3 * MS
        before = Sample(self.joules, t_ns=first)
        self.joules += watts * (last - first) * 1e-9
        return {METER.id: before}, {METER.id: Sample(self.joules, t_ns=last)}

    def ticks(self, backend, count):
        """One block of a backend, released at the control rate."""
        def work(k):
            self.clock.work(SERVICE_MS[backend])
            if self.stall and k % self.stall == self.stall // 2:
                self.clock.now += 311 * MS
        first = self.clock.now_ns() + PERIOD
        run = run_periodic(work, self.clock, period_ns=PERIOD, count=count, first_ns=first)
        self.clock.sleep_until(first + count * PERIOD + 5 * MS)
        return run

    def note(self, kind, backend, run, order_index=None, seed=None):
        """Add a block; every tick is kept."""
        index, first = len(self.document['blocks']), int(run.release_ns[0])
        end = first + len(run) * PERIOD
        metered = self.metered and not kind.startswith('cache')
        energy = window(*self.mark(first, WATTS[backend], end), first, end).as_block() if metered else {
            'energy_j': {}, 'energy_window_s': None, 'energy_marks': {}, 'energy_problems': {}}
        self.document['blocks'].append({
            'index': index, 'order_index': order_index, 'kind': kind, 'backend': backend, 'seed': seed,
            't0_monotonic_ns': first, 't0_utc': '2026-01-31T10:00:00Z', 'duration_s': len(run) * PERIOD * 1e-9,
            **blocks.numbers(run, PERIOD),
            'ticks_file': save_ticks(self.folder, f'{index:03d}_{kind}_{backend.replace("/", "_")}', run),
            'cpu_s': len(run) * SERVICE_MS[backend] * 1.3e-3, **energy,
            'temp_c': {'start': None, 'end': None}, 'freq_mhz': {'start': None, 'mean': None, 'end': None},
            'throttle_events': None, 'oc_events': None, 'ctx_switches': None, 'page_faults': None, 'error': None})

    def back_to_back(self, backend, count, factor=1.0):
        """Calls without a schedule, as in the cache test."""
        first, start, finish = self.clock.now_ns(), [], []
        for _ in range(count):
            self.clock.now += 500
            start.append(self.clock.now_ns())
            self.clock.work(SERVICE_MS[backend] * factor)
            finish.append(self.clock.now_ns())
        from allegro_bench.latency import ticks
        return ticks(range(count), [first + k for k in range(count)], start, finish)

    def sections(self, names):
        """Everything but the blocks."""
        card, profile = environment.describe('rmw_test'), self.profile
        card |= {'virtualised': False, 'cpu': card['cpu'] | {'cores': 8, 'governor': 'performance'}}
        self.document |= {
            'run': {
                'id': str(uuid.UUID(int=7)), 'created_utc': '2026-01-31T10:00:00Z',
                'finished_utc': '2026-01-31T10:09:00Z', 'tool_version': '0.1.0', 'git_sha': None,
                'command_line': ['allegro-bench', 'run', 'L1b'], 'profile': profile.name,
                'settings': profile.as_dict(), 'order_seed': 5, 'order_reversed': False,
                'order': [{'round': r, 'backend': b} for r, b in order(names, profile.blocks, 5)],
                'carbon_intensity': dict(GRID)},
            'workload': {
                'name': 'L1b', 'hash': hashlib.sha256(b'workload').hexdigest(),
                'policy': {'name': 'L1b', 'sha256': hashlib.sha256(b'policy').hexdigest(), 'params': 70_000,
                           'framework': 'onnx', 'checkpoint_uri': None},
                'obs_spec': [{'name': 'obs', 'shape': [1, 96], 'dtype': 'float32', 'rate_hz': RATE}],
                'action_spec': {'shape': [1, 16], 'dtype': 'float32', 'joint_names': []},
                'control_rate_hz': RATE, 'deadline_ms': 1e3 / RATE, 'policy_on_overrun': 'skip',
                'includes': {'preprocess': True, 'postprocess': True, 'ros_transport': False},
                'source': {'kind': 'synthetic', 'sha256': None}, 'seeds': list(SEEDS)},
            'system': card,
            'backends': [{
                'name': n, 'plugin': n.partition('/')[0], 'version': '1.0', 'device': 'cpu', 'precision': 'fp32',
                'artifact_sha256': hashlib.sha256(b'graph').hexdigest(), 'options': {},
                'threads': {'intra': 1, 'inter': 1, 'spinning': False}, 'affinity': None, 'load_s': 0.1,
                'first_inference_ms': 2.0, 'peak_rss_mb': 90.0, 'peak_gpu_mb': None} for n in names],
        }
        if self.metered:
            self.document['meters'] = [METER.as_dict()]
            rows = [('idle_before', None, IDLE_W), ('idle_after', None, IDLE_W * 1.01)]
            rows += [('loaded_idle', n, WATTS['null']) for n in names]
            self.document['baselines'] = [
                {'kind': kind, 'backend': name, 'duration_s': 60.0, 'power_w': {METER.id: watts}, 'temp_c': None}
                for kind, name, watts in rows]

    def measure(self, names, cache_factor=1.0):
        """The whole run: reference, rounds with the null backend, cache tests, reference."""
        count = round(self.profile.block_s * RATE)
        self.note('reference', REFERENCE, self.ticks(REFERENCE, count))
        planned = order(names, self.profile.blocks, 5)
        for i, (number, name) in enumerate(planned):
            if i % len(names) == 0:
                self.note('null', 'null', self.ticks('null', count))
            self.note('measure', name, self.ticks(name, count), order_index=i, seed=SEEDS[number % len(SEEDS)])
            if number == 0:
                for kind, factor in (('cache_distinct', 1.0), ('cache_repeated', cache_factor)):
                    self.note(kind, name, self.back_to_back(name, 500, factor))
        self.note('reference', REFERENCE, self.ticks(REFERENCE, count))

    def finish(self):
        """Compute, judge and write."""
        self.document['summary'], self.document['comparisons'] = summarise(self.document, self.folder)
        self.document['validity'] = judge(self.document, self.folder)
        write(self.folder, self.document)
        return self.document


def make(folder, names=('onnxruntime/fp32', 'openvino/fp32'), *, cache_factor=1.0, quality=(), **options):
    """A result in a folder; returns its document."""
    maker = Maker(folder, **options)
    maker.sections(list(names))
    maker.measure(list(names), cache_factor)
    maker.document['quality'] = [dict(q) for q in quality]
    return maker.finish()


def closed_loop(backend, *, n=700, lost=5, won=4, verdict='pass', lo=-1.6, **values):
    """A row of the quality gate; counts agree with each other."""
    reference = 600
    return {'backend': backend, 'reference': 'numpy/fp32', 'stage': 'closed_loop', 'n': n, 'success_ref': reference,
            'success_cand': reference - lost + won, 'discordant': {'b': lost, 'c': won},
            'diff_pp': {'value': 100.0 * (won - lost) / n, 'lo': lo, 'hi': 1.0}, 'margin_pp': 3.0,
            'latency_injected': True, 'verdict': verdict,
            'env': {'name': 'TactileHold', 'version': '1', 'sha256': None},
            'artifact_sha256': hashlib.sha256(b'graph').hexdigest(), 'precision': 'fp32',
            'inferences_per_success': {'value': 280.0, 'lo': 270.0, 'hi': 291.0}} | values
