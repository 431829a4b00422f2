"""The hand and the grasp policy.

Arguments: `ros2 launch allegro_bringup grasp.launch.py --show-args`.
"""

from allegro_bringup.launching import launch_description


def generate_launch_description():
    return launch_description('grasp')
