"""ROS 2 nodes of this package."""
