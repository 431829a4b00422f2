"""A hand that answers on the wire: a process without ROS that speaks V5B2 over UDP, with physics and faults.

It is simulated, and the bytes are those of the vendor's protocol: host code cannot tell it from a hand by its
packets, so tests and demonstrations run the code that runs on a robot. Start it with
``python -m allegro_driver.emulator`` or ``hand_emulator``.

    __main__  command line            server   sockets and the 3 ms clock     hand     the firmware's behaviour
    world     the seam to physics     episodes TactileHold on the wire        control  JSON requests; client asks
    faults    what may go wrong
"""
