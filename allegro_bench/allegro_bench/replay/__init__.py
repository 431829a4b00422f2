"""What a recording can and cannot say about a policy: the recorded inputs once more through the node's own step.

Open loop: the policy never sees the consequences of its own actions, so nothing here says how well it grasps.
"""
