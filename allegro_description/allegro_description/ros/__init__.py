"""The only ROS code outside ``nodes/``: interface table, parameters, message conversion, node base classes.

Starting nodes as child processes
---------------------------------
* Give every group of processes that belongs together its own ``ROS_DOMAIN_ID`` and set
  ``ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST`` unless the graph shall span machines. Both are read when the middleware
  starts, so they must be in the environment before ``rclpy`` is imported.
* Where rclpy comes from wheels, a bootstrapper restarts Python once with ``LD_LIBRARY_PATH`` extended and marks it with
  ``_ROS_WHEELS_BOOTSTRAP_COMPLETE=1``. A child with the *same* interpreter may inherit both (and starts faster for
  it); a child that runs *another* environment's interpreter must get an environment without these two variables.
* Stop a node with SIGINT or SIGTERM to its own process id: it leaves the hand safe and exits with code 0.
"""
