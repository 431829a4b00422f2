"""Parameters of the driver, declared once: ROS parameters, YAML, validation and README derive from here."""

from __future__ import annotations

from dataclasses import dataclass

from allegro_description.config import parameter

STALE_PERIODS = 4.5
STALL_MARGIN_S = 0.03


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """What the control loop and its safety need to know."""

    control_mode: str = parameter(
        'host', "host: this driver's PD law sends torques; onboard: the hand's own position loop gets the targets "
        '(V5 Sense: H-infinity), without torque commands, torque limits and free motion. Changes only without torque',
        choices=('host', 'onboard'), live=True)
    max_target_speed: float = parameter(
        4.0, 'fastest change of a position target; a command that jumps is followed at this speed',
        unit='rad/s', low=0.05, high=7.0, live=True)
    torque_scale: float = parameter(
        1.0, "share of the hand's torque limit (current clamp) in use", low=0.0, high=1.0, live=True)
    limit_taper_rad: float = parameter(
        0.05, 'torque commands towards a joint limit fade out over this distance', unit='rad', low=0.001, high=0.5)
    position_tolerance_rad: float = parameter(
        0.5, 'a reading this far outside the joint range is a fault (lost zero, damaged data)',
        unit='rad', low=0.01, high=3.2)
    position_jump_rad: float = parameter(
        0.35, 'a reading that moves this much farther between two samples than the joint can is a fault (damaged data)',
        unit='rad', low=0.05, high=10.0)
    stale_after_s: float = parameter(
        0.03, 'no sample from the hand for this long is a fault; a slow hand gets 4.5 of its periods (Plexus: 45 ms)',
        unit='s', low=0.006, high=1.0)
    hold_after_s: float = parameter(
        0.1, 'commands older than this are refused; without a younger one the hand holds its last target',
        unit='s', low=0.01, high=2.0, live=True)
    relax_after_s: float = parameter(
        2.0, 'torque off after holding for this long without a command; 0 holds for ever',
        unit='s', low=0.0, high=3600.0, live=True)
    gravity: tuple[float, ...] = parameter(
        (0.0, 0.0, -9.81), 'gravity in the palm frame (x out of the palm, z along the fingers): fingers up unless '
        'told otherwise; the topic gravity updates it', unit='m/s²', live=True)
    gravity_feedforward: bool = parameter(
        False, 'host mode: add the torque that carries the fingers to the PD law. Off, because a wrong direction of '
        'gravity makes the hand sag twice as far as none', live=True)
    free_damping: float = parameter(
        0.2, "damping in free motion, share of the position controller's", low=0.0, high=1.0, live=True)
    free_timeout_s: float = parameter(
        300.0, 'free motion ends with torque off after this long; 0 never ends it', unit='s', low=0.0, high=86400.0,
        live=True)
    motion_speed: float = parameter(
        1.5, 'peak joint speed of named motions', unit='rad/s', low=0.05, high=7.0, live=True)
    motion_hold_s: float = parameter(
        300.0, 'how long the end of a named motion (a grip) is held before the torque goes off; 0 holds for ever',
        unit='s', low=0.0, high=86400.0, live=True)
    temperature_warn_c: float = parameter(
        60.0, 'a joint this warm is a warning; chosen by this project, no source gives a limit', unit='°C',
        low=20.0, high=150.0, live=True)
    temperature_fault_c: float = parameter(
        75.0, 'a joint this warm is a fault; chosen by this project, no source gives a limit', unit='°C',
        low=20.0, high=150.0, live=True)
    current_budget_ma: float = parameter(
        0.0, 'host mode: bound of the sum of all motor currents; above it all torques shrink alike. 0 sets no bound. '
        '(A bound of power is not possible: no hand reports its supply voltage)',
        unit='mA', low=0.0, high=100000.0, live=True)
    confirmed: str = parameter(
        '', 'what was checked on this very hand because no source settles it, names separated by commas; NAME@SERIAL '
        'holds for the hand with that serial number only, NAME for any. Without those that its description asks for '
        'there is no torque', live=True)
    allow_unknown_side: bool = parameter(
        False, 'enable a hand whose serial number does not tell left from right; look at the hand first')
    realtime: str = parameter(
        'auto', 'auto: SCHED_FIFO, locked memory and short interpreter slices where allowed', choices=('auto', 'off'))
    realtime_priority: int = parameter(60, 'SCHED_FIFO priority of the control thread', low=1, high=98)

    def patience_s(self, period_s: float) -> float:
        """For how long samples of a hand with this period may be missing, s."""
        return max(self.stale_after_s, STALE_PERIODS * period_s)


@dataclass(frozen=True, slots=True)
class DriverConfig(ControlConfig):
    """Parameters of ``hand_driver``."""

    model: str = parameter('v5_sense', 'hand model, the first part of a description in hands/')
    side: str = parameter('right', 'which hand it is', choices=('right', 'left'))
    prefix: str = parameter('', 'put before every joint and frame name in messages: two hands, one tree of frames')
    hardware: str = parameter('bus', 'kind of hardware, see `allegro-hand list`')
    link: str = parameter('udp', 'kind of link, see `allegro-hand list`')
    address: str = parameter('', "IP, IP:PEER_PORT or IP:PEER_PORT:LOCAL_PORT; empty: the hand's factory address")
    switches: str = parameter(
        '', 'CAN: unverified points of the protocol set otherwise than in the description, NAME=VALUE separated by '
        'commas, e.g. current_order=thumb_first; see `allegro-hand list`')
    expected_serial: str = parameter('', 'refuse any hand but the one with this serial number; empty accepts all')
    calibration_dir: str = parameter(
        '', "folder of the hands' calibration files, SERIAL.yaml; empty: ~/.config/allegro/calibration")
    answer_timeout_s: float = parameter(
        1.0, 'how long one request waits for the answer of the hand', unit='s', low=0.05, high=10.0)
    answer_tries: int = parameter(3, 'how often a request is sent', low=1, high=20)
    velocity_cutoff_hz: float = parameter(
        30.0, 'corner of the low-pass that makes velocities from positions', unit='Hz', low=1.0, high=150.0)
    guardian: bool = parameter(
        True, 'keep a helper process that ends the torque should this one be killed, or hang (stall_after_s)')
    stall_after_s: float = parameter(
        0.06, 'torque that this process has not renewed for so long is ended by the guardian: hung, stopped by a '
        'debugger, starved. Never less than 30 ms more than samples may be missing (Plexus: 75 ms)',
        unit='s', low=0.02, high=1.0)
    enable_on_activate: bool = parameter(False, 'hold the present pose as soon as the node is active')
    publish_divisor: int = parameter(
        3, 'publish every n-th sample (3: 111 Hz of a V5 Sense)', low=1, high=333)

    def stall_s(self, period_s: float) -> float:
        """For how long the torque of a hand with this period may flow without being renewed, s.

        Longer than samples may be missing: the driver is the first to notice that.
        """
        return max(self.stall_after_s, self.patience_s(period_s) + STALL_MARGIN_S)


@dataclass(frozen=True, slots=True)
class TouchConfig:
    """How raw cell readings become touch. Thresholds of the V5 Sense are those that its policies were trained with."""

    tare_samples: int = parameter(
        50, 'the baseline is the median of the newest so many samples', low=3, high=1000)
    tare_limit_pa: float = parameter(
        0.0, "a cell that reads more is being touched and is not zeroed; 0 takes the hand description's",
        unit='Pa', low=0.0, high=100000.0)
    drift_s: float = parameter(
        30.0, 'time constant with which the baseline of untouched fingers follows the reading; 0 keeps it fixed',
        unit='s', low=0.0, high=3600.0, live=True)
    filter_hz: float = parameter(
        30.0, 'corner of the low-pass on pressures; 0 leaves them as they come', unit='Hz', low=0.0, high=150.0,
        live=True)
    contact_on_pa: float = parameter(
        0.0, "pressure at which a cell starts to touch; 0 takes the hand description's", unit='Pa', low=0.0,
        high=100000.0, live=True)
    contact_off_pa: float = parameter(
        0.0, "pressure at which it stops to touch; 0 takes the hand description's", unit='Pa', low=0.0, high=100000.0,
        live=True)
    frozen_after_s: float = parameter(
        10.0, 'a touched cell whose reading has not changed at all for so long is invalid; 0 never judges', unit='s',
        low=0.0, high=3600.0, live=True)
    overload_hold_s: float = parameter(
        1.0, 'how long a reading that fell from high to 0 within one sample counts as saturated', unit='s',
        low=0.0, high=60.0, live=True)
    cell_area_mm2: float = parameter(
        100.0, 'area of a cell for the force estimate; ASSUMED, no source states it', unit='mm²', low=1.0, high=1000.0,
        live=True)


@dataclass(frozen=True, slots=True)
class TactileConfig(TouchConfig):
    """Parameters of ``tactile_publisher``."""

    model: str = parameter('v5_sense', 'hand model, the first part of a description in hands/')
    side: str = parameter('right', 'which hand it is', choices=('right', 'left'))
    prefix: str = parameter('', 'put before every joint and frame name in messages: two hands, one tree of frames')
    publish_divisor: int = parameter(1, 'publish points for every n-th raw sample', low=1, high=333, live=True)
    wrench_divisor: int = parameter(5, 'publish wrenches with every n-th message of points', low=1, high=333, live=True)
    joint_timeout_s: float = parameter(
        0.2, 'without joint states younger than this the places of the cells are unknown', unit='s',
        low=0.01, high=10.0)
