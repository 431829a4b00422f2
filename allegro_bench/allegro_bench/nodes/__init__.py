"""ROS nodes of the package: thin shells around the pure modules."""
