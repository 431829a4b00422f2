"""A hand that answers on the wire: a process without ROS, with physics and faults, for every hand and every wire.

It is simulated, and the bytes are those of the vendor's protocols: host code cannot tell it from a hand by its
packets, so tests and demonstrations run the code that runs on a robot. Start it with
``python -m allegro_driver.emulator`` or ``hand_emulator``.

    __main__  command line        server   the clock                    control  JSON requests; client asks
    seams     wire and firmware   cable    faults of the link           fault_table, faults, script  what may go wrong
    *_wire    UDP, SLCAN on a pseudo-terminal (slcan_adapter), python-can
    *_firmware  V5B2, classic CAN, Plexus: what the controller does     body     motors, encoders, temperatures
    world     the seam to physics plant_world MuJoCo                    episodes TactileHold on the wire
"""
