from setuptools import find_packages, setup

NAME = 'allegro_tests'

setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, NAME + '.*']),
    package_data={NAME: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + NAME]),
        ('share/' + NAME, ['package.xml']),
    ],
    install_requires=['setuptools', 'numpy', 'pyyaml'],
    extras_require={'test': ['pytest', 'hypothesis']},
    zip_safe=True,
    maintainer='Allegro AI suite maintainers',
    maintainer_email='maintainers@allegro-ai.example',
    description='Cross-package tests of the Allegro AI suite.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
        ],
    },
)
