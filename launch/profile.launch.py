"""Hand, policy, profiler, recorder and, on the emulated hand, grasp episodes.

Arguments: `ros2 launch allegro_bringup profile.launch.py --show-args`.
"""

from allegro_bringup.launching import launch_description


def generate_launch_description():
    return launch_description('profile')
