"""Recordings: what rosbag2 files hold, read in bounded memory, as far as damage lets them be read."""
