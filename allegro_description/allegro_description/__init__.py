"""What an Allegro Hand is: joints, limits, taxels, kinematics, simulation and messages."""
