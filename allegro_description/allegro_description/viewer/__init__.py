"""The hand in a web browser, for machines without RViz.

::

    meshes    triangle meshes of rounded primitives               pure
    surface   where a link's surface is; pads that lie on it      pure
    colours   palette and the pressure colour scale               pure
    scene     node tree of a hand, joint angles -> rotations      pure
    live      newest values and short histories, thread-safe      pure
    page      the scene in a viser server on 127.0.0.1            needs viser
    panel     the side panel of that page                         needs viser
    sliders   the hand moved by sliders, without ROS              needs viser
"""
