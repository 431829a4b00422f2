"""Processes with ROS that these commands start."""
