"""Links: datagrams or frames in and out. A link knows addresses and sockets, and nothing about what the bytes mean."""

from __future__ import annotations

from allegro_description.plugins import Plugin, PluginTable

LINKS = PluginTable('link', {
    'udp': Plugin('allegro_driver.link.udp:UdpLink'),
    'can': Plugin('allegro_driver.link.can_bus:CanLink'),
}, group='allegro_driver.links')
"""Kind of link (the keys of ``protocol`` in a hand description) to its class."""
