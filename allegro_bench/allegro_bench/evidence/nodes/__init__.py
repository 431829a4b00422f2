"""Evidence that needs a ROS graph."""
