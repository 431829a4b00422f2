from glob import glob

from setuptools import find_packages, setup

NAME = 'allegro_description'

setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, NAME + '.*']),
    package_data={NAME: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + NAME]),
        ('share/' + NAME, ['package.xml']),
        ('share/' + NAME + '/hands', glob('hands/*.yaml')),
        ('share/' + NAME + '/xacro', glob('xacro/*.xacro')),
        ('share/' + NAME + '/rviz', glob('rviz/*.rviz')),
        ('share/' + NAME + '/launch', glob('launch/*.launch.py')),
    ],
    install_requires=['setuptools', 'numpy', 'pyyaml'],
    extras_require={
        'mujoco': ['mujoco>=3.17,<5'], 'view': ['viser>=1.1', 'trimesh', 'pillow'], 'test': ['pytest', 'hypothesis'],
    },
    zip_safe=True,
    maintainer='Allegro AI suite maintainers',
    maintainer_email='maintainers@allegro-ai.example',
    description='What an Allegro Hand is: joints, limits, taxels, kinematics, simulation and messages.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'hand_viewer = allegro_description.nodes.hand_viewer:main',
        ],
    },
)
