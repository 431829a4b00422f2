"""One ONNX graph of a whole control step of a bundle: measured arrays in, joint targets and every checked number out.

Around the bundle's own graph, which is taken as it is, this writes what :mod:`allegro_ai.observation`,
:mod:`allegro_ai.ood` and :mod:`allegro_ai.action` compute in numpy, operation by operation in the same precision: terms
in double, rounded to float32 where the policy reads them, targets in double. A step is then one call of an engine. Only
numbers of the contract go in; the numpy code stays the reference, and :mod:`allegro_ai.fused_step` compares them.

Where an observation is joint targets and angles as they lie in memory, and where numbers of the training data are not
correlated, nothing is joined and no product is made; an action that the policy keeps in ±1 is not clipped again, and
limits that cannot act are left out, see :attr:`StepGraph.within`.

What was tried, back to back on a virtual machine with other work beside it, µs per call, linear policy / HORA network:
unfolded chains 32.2, folded 18.1; no reuse of memory 17.3 / 46.3 instead of 18.3 / 47.0 (taken); no memory pattern
21.5 / 52.8, no prepacking 18.3 / 50.5 (not taken); no arena, denormals as zero, less optimisation: within 1. Ways to
call a graph of one node: ``run`` 4.7, ``_sess.run`` 3.8, ``run_with_iobinding`` 2.7 (taken). About 0.27 for each
operator, ``Where`` 0.88 (avoided), a numpy function 0.35. OpenVINO on the HORA network: 62.6. Past observations read in
place instead of stacked, and what is said above: 36 instead of 46 for HORA, of which 29 are its network. Not taken:
convolutions as ``Conv`` on channels first (7 more), the last of them as one matrix (0), weights that the caller owns,
unpacked (4 more). Beside a tick in Python the same call takes 8 more, because the code of both has left the caches.

Names of values that are added begin with ``step.``. Memory is an input and the output that feeds it, see
:attr:`StepGraph.memory`; it has to be filled by the reference first, so the graph knows no first step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from allegro_description.errors import BundleError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from allegro_ai.affine import fold
from allegro_ai.bundle import Bundle
from allegro_ai.observation import GRIP_CLASSES, PA_PER_KPA, terms
from allegro_ai.ood import HALF_PRESSURE_KPA
from allegro_ai.windows import Window, read_in_place

Float = NDArray[np.float64]

PREFIX = 'step.'
OPSETS = range(13, 18)
"""Operator sets whose Clip, Max and ReduceMax take what is written here."""

POSITION, LAST_TARGET, NEWER, OLDER = 'step.position', 'step.last_target', 'step.newer', 'step.older'
PRESSURE, VALID, GRIP, GRAVITY, UPRIGHT = 'step.pressure', 'step.valid', 'step.grip', 'step.gravity', 'step.upright'
REFERENCE, TARGET, LAST_ACTION = 'step.reference', 'step.target', 'step.last_action'
TIP, KNOWN, CONTACT, TRACE = 'step.tip', 'step.known', 'step.contact', 'step.trace'
SEEN, WORST, DEVIATION = 'step.seen', 'step.worst', 'step.deviation'
NEXT, PAST, STACK, WINDOW = 'step.next.', 'step.past.', 'step.stack.', 'step.window.'

TIP_PRESSURE, SQUASHED, MOVED = 'tactile_tip_pressure', 'squashed', 'moved'
_OF_MOVED = ('joint_target_error', 'joint_delta')


@dataclass(frozen=True)
class StepGraph:
    """The graph and what its values are.

    Attributes:
        model: serialised ONNX model.
        memory: input to the output that feeds it in the next step.
        stacks: input of past observations to the output of which all but the oldest are its next value.
        windows: input to the past observations that it is; then there are no stacks, and :data:`SEEN` is the newest.
        seen: observation term to its columns of the output :data:`SEEN`.
        elements: of the observation that :data:`DEVIATION` judges.
        within: lowest and highest target, rad, (n_joints,) each, from which this graph is right; None: from any.
    """

    model: bytes
    memory: Mapping[str, str]
    stacks: Mapping[str, str]
    windows: Mapping[str, Window]
    seen: Mapping[str, slice]
    elements: int
    within: tuple[Float, Float] | None


def build_step_graph(bundle: Bundle, graph: bytes, *, folded: bool = True) -> StepGraph:
    """Write the graph of one step.

    Args:
        bundle: a policy.
        graph: its graph as the engine runs it, e.g. converted to another precision.
        folded: whether chains of operators may become one, see :mod:`allegro_ai.affine`, and past observations be read
            where they lie, see :mod:`allegro_ai.windows`.

    Raises:
        BundleError: an operator set that is not covered, names that would collide, or what cannot be folded.
    """
    return _StepWriter(bundle, onnx.load_model_from_string(graph), folded).write()


class _StepWriter:
    """Adds what is asked for, once; every method returns the name of a value."""

    def __init__(self, bundle: Bundle, policy: onnx.ModelProto, folded: bool) -> None:
        opset = next(o.version for o in policy.opset_import if o.domain in ('', 'ai.onnx'))
        if opset not in OPSETS:
            raise BundleError(f'operator set {opset}; a step is written in {OPSETS[0]} … {OPSETS[-1]}')
        names = {name for node in policy.graph.node for name in (*node.input, *node.output)}
        if any(name.startswith(PREFIX) for name in names):
            raise BundleError(f'a value of policy.onnx begins with {PREFIX!r}, which the values of the step do')
        self._bundle, self._policy, self._model = bundle, policy, bundle.model
        self._folded, self._opset = folded, opset
        self._kept: list[onnx.TensorProto] = list(policy.graph.initializer)
        self._spec, self._n, self._tips = bundle.observation_spec, len(bundle.model.joints), bundle.model.tip_taxels
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self._memory: dict[str, str] = {}
        self._stacks: dict[str, str] = {}
        self._windows: dict[str, Window] = {}
        self._within: tuple[Float, Float] | None = None
        self._made: dict[str, str] = {}

    # Pieces -----------------------------------------------------------------------------------------------------

    def _op(self, kind: str, *inputs: str, output: str = '', **attributes: Any) -> str:
        name = output or f'step.{kind.lower()}_{len(self._nodes)}'
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def _constant(self, values: Any, dtype: Any = np.float64) -> str:
        name = f'step.constant_{len(self._constants)}'
        self._constants[name] = np.asarray(values, dtype=dtype)
        return name

    def _input(self, name: str, width: int, kind: int = TensorProto.DOUBLE) -> str:
        self._inputs[name] = helper.make_tensor_value_info(name, kind, [1, width])
        return name

    def _output(self, name: str, kind: int, *shape: int) -> str:
        self._outputs[name] = helper.make_tensor_value_info(name, kind, shape)
        return name

    def _once(self, name: str, make: Callable[[], str]) -> str:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def _remember(self, name: str, value: str, width: int, kind: int = TensorProto.DOUBLE) -> None:
        """``value`` is what the input ``name`` will be in the next step."""
        self._memory[name] = self._output(value, kind, 1, width)

    # Terms, all in double ---------------------------------------------------------------------------------------

    def _moved(self) -> str:
        """Target error and change of position side by side: what is newer minus what is older."""
        return self._once('moved', lambda: self._op(
            'Sub', self._input(NEWER, 2 * self._n), self._input(OLDER, 2 * self._n)))

    def _cells(self, of: str, which: Any, output: str = '') -> str:
        return self._op('Gather', of, self._constant(which, np.int64), output=output, axis=1)

    def _all_known(self) -> str:
        return self._input(VALID, len(self._model.taxels))

    def _all_pressures(self) -> str:
        def make() -> str:
            kept = self._op('Mul', self._input(PRESSURE, len(self._model.taxels)), self._all_known())
            return self._op('Div', kept, self._constant(PA_PER_KPA))

        return self._once('all_pressures', make)

    def _known(self) -> str:
        return self._once('known', lambda: self._cells(self._all_known(), self._tips, _next(KNOWN)))

    def _tip(self) -> str:
        return self._once('tip', lambda: self._cells(self._all_pressures(), self._tips, _next(TIP)))

    def _rate(self) -> str:
        def make() -> str:
            k, spec, tip, known = len(self._tips), self._spec, self._tip(), self._known()
            change = self._op('Sub', tip, self._input(TIP, k))
            rate = self._op('Div', change, self._op('Max', tip, self._constant(spec.rate_floor_kpa)))
            rate = self._op('Clip', rate, self._constant(-spec.rate_clip), self._constant(spec.rate_clip))
            both = self._op('Mul', known, self._input(KNOWN, k))
            self._remember(TIP, tip, k)
            self._remember(KNOWN, known, k)
            return self._op('Mul', rate, both)

        return self._once('rate', make)

    def _trace(self) -> str:
        def make() -> str:
            k = len(self._tips)
            rest = self._op('Mul', self._constant(self._spec.trace_decay), self._input(TRACE, k))
            trace = self._op('Max', self._op('Abs', self._rate()), rest, output=_next(TRACE))
            self._remember(TRACE, trace, k)
            return trace

        return self._once('trace', make)

    def _contact(self) -> str:
        def make() -> str:
            k, spec = len(self._tips), self._spec
            # Chosen by index, because Where costs three times that.
            levels = self._constant([spec.contact_on_kpa, spec.contact_off_kpa])
            threshold = self._op('Gather', levels, self._input(CONTACT, k, TensorProto.INT64), axis=0)
            above = self._op('Cast', self._op('Greater', self._tip(), threshold), to=TensorProto.DOUBLE)
            contact = self._op('Mul', above, self._known())
            after = self._op('Cast', contact, output=_next(CONTACT), to=TensorProto.INT64)
            self._remember(CONTACT, after, k, TensorProto.INT64)
            return contact

        return self._once('contact', make)

    def _squashed(self) -> str:
        return self._once('squashed', lambda: self._op(
            'Div', self._tip(), self._op('Add', self._tip(), self._constant(HALF_PRESSURE_KPA))))

    def _pieces(self) -> dict[str, Callable[[], str]]:
        """Every term; two that :meth:`_moved` makes at once are one piece."""
        links = [i for i, taxel in enumerate(self._model.taxels) if not taxel.tip]
        return {
            'joint_position': lambda: self._input(POSITION, self._n),
            'joint_target': lambda: self._input(LAST_TARGET, self._n),
            MOVED: self._moved,
            'tactile_tip_pressure': self._tip, 'tactile_tip_rate': self._rate, 'tactile_tip_contact': self._contact,
            'tactile_tip_trace': self._trace, 'tactile_valid': self._known,
            'tactile_link_pressure': lambda: self._cells(self._all_pressures(), links),
            'tactile_link_valid': lambda: self._cells(self._all_known(), links),
            'gravity_palm': lambda: self._input(GRAVITY, 3),
            'gravity_valid': lambda: self._input(UPRIGHT, 1),
            'last_action': lambda: self._input(LAST_ACTION, self._n),
            'grip_class': lambda: self._input(GRIP, len(GRIP_CLASSES)),
            SQUASHED: self._squashed,
        }

    def _gather_terms(self, scored: Sequence[str]) -> tuple[str, dict[str, slice]]:
        """All that is read later, one vector in double, and the columns of each term."""
        table, pieces, parts, places, end = terms(self._model), self._pieces(), [], {}, 0
        for name in dict.fromkeys((*self._bundle.inputs, *(SQUASHED if s == TIP_PRESSURE else s for s in scored))):
            if name in places:
                continue
            if name in _OF_MOVED:
                parts.append(pieces[MOVED]())
                for moved in _OF_MOVED:
                    places[moved] = slice(end, end + self._n)
                    end += self._n
                continue
            parts.append(pieces[name]())
            width = len(self._tips) if name == SQUASHED else len(table[name].elements)
            places[name] = slice(end, end + width)
            end += width
        if [LAST_TARGET, POSITION] in (parts[i:i + 2] for i in range(len(parts))):  # side by side in memory already
            begin = parts.index(LAST_TARGET)
            parts[begin:begin + 2] = [self._input(NEWER, 2 * self._n)]
            del self._inputs[LAST_TARGET], self._inputs[POSITION]
        return parts[0] if len(parts) == 1 else self._op('Concat', *parts, axis=1), places

    # The step ---------------------------------------------------------------------------------------------------

    def write(self) -> StepGraph:
        """All of it."""
        bundle = self._bundle
        arrays = bundle.arrays(bundle.contract['ood']['file'])
        scored = [str(term) for term in arrays['terms']]
        exact, places = self._gather_terms(scored)
        width = max(place.stop for place in places.values())
        seen = self._op('Cast', exact, output=SEEN, to=TensorProto.FLOAT)
        self._output(seen, TensorProto.FLOAT, 1, width)
        self._score(exact, [places[SQUASHED if s == TIP_PRESSURE else s] for s in scored], width, arrays)
        if len(self._tips):
            self._output(self._op('ReduceMax', self._tip(), output=WORST, keepdims=0), TensorProto.DOUBLE)
        self._policy_part(seen, width, places)
        self._decode(bundle.contract['output']['name'])
        return StepGraph(self._serialised(), self._memory, self._stacks, self._windows,
                         {name: places[name] for name in bundle.inputs}, len(arrays['mean']), self._within)

    def _columns(self, x: str, place: slice) -> str:
        begin, end = (self._constant([v], np.int64) for v in (place.start, place.stop))
        return self._op('Slice', x, begin, end, self._once('axis', lambda: self._constant([1], np.int64)))

    def _policy_part(self, seen: str, width: int, places: Mapping[str, slice]) -> None:
        """The nodes of the bundle, reading columns of ``seen`` instead of its inputs."""
        bundle, one, begun = self._bundle, TensorProto.FLOAT, len(self._nodes)
        runtime = bundle.contract['runtime']
        steps = int(runtime['history']['steps'])
        fed = {}
        if steps == 1 or not self._folded:
            fed = {name: self._columns(seen, places[name]) for name in bundle.inputs}
        if steps > 1:
            fed = {name: self._stacked(name, value, steps, places[name].stop - places[name].start)
                   for name, value in fed.items()}
        for node in self._policy.graph.node:
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            copied.input[:] = [fed.get(name, name) for name in node.input]
            self._nodes.append(copied)
        sources: dict[str, Sequence[int]] = {seen: (1, width)}
        for state in runtime['state']:
            self._inputs[state['name']] = helper.make_tensor_value_info(state['name'], one, state['shape'])
            self._memory[state['name']] = self._output(state['output'], one, *state['shape'])
            sources[state['name']] = state['shape']
        outputs = [bundle.contract['output'], *bundle.contract.get('extra_outputs', ())]
        for entry in outputs:
            self._output(entry['name'], one, 1, *entry['shape'])
        if not self._folded:
            return
        needed = [*(entry['name'] for entry in outputs), *(state['output'] for state in runtime['state'])]
        if steps > 1:
            self._nodes[begun:], self._windows = read_in_place(
                self._nodes[begun:], self._kept, {name: places[name] for name in bundle.inputs}, steps, sources, needed,
                WINDOW, self._opset)
            for name, window in self._windows.items():
                self._inputs[name] = helper.make_tensor_value_info(name, one, window.shape)
        else:
            constants = [*self._policy.graph.initializer, *self._tensors()]
            self._nodes[begun:], self._kept = fold(self._nodes[begun:], constants, sources, needed, self._opset)

    def _stacked(self, name: str, value: str, steps: int, width: int) -> str:
        past, axis = PAST + name, self._constant([1], np.int64)
        self._inputs[past] = helper.make_tensor_value_info(past, TensorProto.FLOAT, [1, steps - 1, width])
        whole = self._op('Concat', past, self._op('Unsqueeze', value, axis), output=STACK + name, axis=1)
        self._stacks[past] = self._output(whole, TensorProto.FLOAT, 1, steps, width)
        return whole

    def _score(self, exact: str, columns: Sequence[slice], width: int, arrays: Mapping[str, Any]) -> None:
        """What the distance from the training data, :class:`allegro_ai.ood.OodModel`, is the length of."""
        whiten = arrays['whiten'] / arrays['scale'][:, None]
        spread = np.zeros((width, len(whiten)))
        spread[np.concatenate([np.arange(place.start, place.stop) for place in columns])] = whiten
        (rows, ends), entries = np.nonzero(spread), len(whiten)
        if len(set(ends)) == len(ends) and len(set(rows)) == len(rows):  # uncorrelated: no need of a product
            centre, entries = np.zeros(width), width
            centre[np.concatenate([np.arange(place.start, place.stop) for place in columns])] = arrays['mean']
            difference = self._op('Sub', exact, self._constant(centre[None]))
            normal = self._op('Mul', difference, self._constant(spread.sum(axis=1)[None]), output=DEVIATION)
        else:
            normal = self._op('Gemm', exact, self._constant(spread), self._constant(-arrays['mean'] @ whiten),
                              output=DEVIATION)
        self._output(normal, TensorProto.DOUBLE, 1, entries)

    def _decode(self, action: str) -> None:
        """As :meth:`allegro_ai.action.ActionMapper.to_target`."""
        mapper, n, model = self._bundle.controller().mapper, self._n, self._model
        if not self._clips(action):
            action = self._op('Clip', action, *(self._constant(v, np.float32) for v in (-1.0, 1.0)))
        clipped = self._op('Cast', action, output=_next(LAST_ACTION), to=TensorProto.DOUBLE)
        if LAST_ACTION in self._inputs:
            self._remember(LAST_ACTION, clipped, n)
        before, step = self._input(TARGET, n), mapper.rate_limit * self._bundle.period_s
        if self._folded and mapper.incremental and mapper.bounds is not None and (mapper.scale <= step).all():
            # From within the bounds of the policy, which lie within those of the joints, no other limit can act.
            self._within = mapper.bounds
        change = self._op('Mul', clipped, self._constant(mapper.scale))
        if not mapper.incremental or mapper.bounds is not None:
            wanted = self._op('Add', before if mapper.incremental else self._input(REFERENCE, n), change)
            if mapper.bounds is not None:
                wanted = self._op('Max', wanted, self._constant(mapper.bounds[0]))
                wanted = self._op('Min', wanted, self._constant(mapper.bounds[1]),
                                  output=_next(TARGET) if self._within is not None else '')
            if self._within is not None:
                self._remember(TARGET, wanted, n)
                return
            change = self._op('Sub', wanted, before)
        target = self._op('Add', before, self._op('Clip', change, self._constant(-step), self._constant(step)))
        target = self._op('Max', target, self._constant(model.lower))
        target = self._op('Min', target, self._constant(model.upper), output=_next(TARGET))
        self._remember(TARGET, target, n)

    def _clips(self, value: str) -> bool:
        """Whether the policy itself keeps its action within ±1."""
        known = {tensor.name: tensor for tensor in self._kept}
        for node in self._nodes:
            if node.op_type == 'Clip' and value in node.output and len(node.input) == 3:
                bounds = [numpy_helper.to_array(known[name]) for name in node.input[1:] if name in known]
                return len(bounds) == 2 and all((bounds[0] >= -1.0, bounds[1] <= 1.0))
        return False

    def _tensors(self) -> list[onnx.TensorProto]:
        return [numpy_helper.from_array(values, name) for name, values in self._constants.items()]

    def _serialised(self) -> bytes:
        made = {tensor.name: tensor for tensor in (*self._kept, *self._tensors())}
        graph = helper.make_graph(self._nodes, 'step', list(self._inputs.values()), list(self._outputs.values()),
                                  list(made.values()))
        model = helper.make_model(graph, producer_name='allegro_ai.step_graph', ir_version=self._policy.ir_version,
                                  opset_imports=list(self._policy.opset_import))
        return bytes(model.SerializeToString())


def _next(name: str) -> str:
    return NEXT + name.removeprefix(PREFIX)
