from glob import glob

from setuptools import find_packages, setup

NAME = 'allegro_bringup'

setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, NAME + '.*']),
    package_data={NAME: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + NAME]),
        ('share/' + NAME, ['package.xml']),
        ('share/' + NAME + '/launch', glob('*.launch.py')),
        ('share/' + NAME + '/config', glob('config/*.yaml')),
        ('share/' + NAME + '/rviz', glob('rviz/*.rviz')),
    ],
    install_requires=['setuptools', 'numpy', 'pyyaml'],
    extras_require={'test': ['pytest']},
    zip_safe=True,
    maintainer='Allegro AI suite maintainers',
    maintainer_email='maintainers@allegro-ai.example',
    description='Launch files and configuration that wire the Allegro AI suite together.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'allegro-demo = allegro_bringup.demo:main',
            'allegro-replay = allegro_bringup.replay:main',
        ],
    },
)
