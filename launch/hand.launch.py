"""The hand: driver, touch and viewer, on the emulated hand unless emulate:=false.

Arguments: `ros2 launch allegro_bringup hand.launch.py --show-args`.
"""

from allegro_bringup.launching import launch_description


def generate_launch_description():
    return launch_description('hand')
