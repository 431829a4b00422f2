from glob import glob

from setuptools import find_packages, setup

NAME = 'allegro_driver'

setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, NAME + '.*']),
    package_data={NAME: ['py.typed', 'evidence/*.c']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + NAME]),
        ('share/' + NAME, ['package.xml']),
        ('share/' + NAME + '/config', glob('config/*.yaml')),
    ],
    install_requires=['setuptools', 'numpy', 'pyyaml'],
    extras_require={'can': ['python-can>=4.5,<5'], 'mujoco': ['mujoco>=3.17,<5'], 'test': ['pytest', 'hypothesis']},
    zip_safe=True,
    maintainer='Allegro AI suite maintainers',
    maintainer_email='maintainers@allegro-ai.example',
    description='Driver, tactile publisher and on-wire emulator for Wonik Allegro Hands.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'hand_driver = allegro_driver.nodes.hand_driver:main',
            'tactile_publisher = allegro_driver.nodes.tactile_publisher:main',
            'episode_control = allegro_driver.nodes.episode_control:main',
            'vendor_bridge = allegro_driver.nodes.vendor_bridge:main',
            'hand_emulator = allegro_driver.emulator.__main__:main',
            'allegro-hand = allegro_driver.cli:main',
        ],
        'ros2doctor.checks': ['allegro_hand = allegro_driver.ros2_doctor:hand_check'],
    },
)
