import os

from setuptools import find_packages, setup

NAME = 'allegro_ai'


def tree(root: str) -> list[tuple[str, list[str]]]:
    return [(path, [os.path.join(path, f) for f in files]) for path, _, files in os.walk(root) if files]

setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, NAME + '.*']),
    package_data={NAME: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + NAME]),
        ('share/' + NAME, ['package.xml']),
        *((f'share/{NAME}/{folder}', files) for folder, files in tree('policies')),
    ],
    install_requires=['setuptools', 'numpy', 'pyyaml'],
    extras_require={'onnx': ['onnx', 'onnxruntime'], 'mujoco': ['mujoco>=3.17,<5'],
                    'archive': ['zstandard'], 'sign': ['cryptography'], 'test': ['pytest', 'hypothesis']},
    zip_safe=True,
    maintainer='Allegro AI suite maintainers',
    maintainer_email='maintainers@allegro-ai.example',
    description='Grasp policies for Allegro Hands: tasks, training, evaluation, policy bundles and the policy node.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'grasp_policy = allegro_ai.nodes.grasp_policy:main',
            'allegro-ai = allegro_ai.cli:main',
        ],
    },
)
