"""The simulated hand: physics plant, touch sensor model, objects and the TactileHold episode script.

Only this package imports MuJoCo (``pip install 'allegro_description[mujoco]'``).
"""
