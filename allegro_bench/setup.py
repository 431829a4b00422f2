from glob import glob
from os import path

from setuptools import find_packages, setup

NAME = 'allegro_bench'

setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, NAME + '.*']),
    package_data={NAME: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + NAME]),
        ('share/' + NAME, ['package.xml']),
        ('share/' + NAME + '/schema', glob('schema/*.json')),
        ('share/' + NAME + '/docs', glob('docs/*.md')),
        ('share/' + NAME + '/results', glob('results/*.json')),
        ('share/' + NAME + '/bag_profiles', glob('bag_profiles/*.yaml')),
        *((f'share/{NAME}/{folder}', [f for f in glob(folder + '/*') if path.isfile(f)])
          for folder in ('datasets/emulated_hand', *glob('datasets/emulated_hand/*')) if path.isdir(folder)),
        ('share/' + NAME + '/carbon', glob('carbon/*.csv')),
        ('share/' + NAME + '/rules', glob('rules/*')),
    ],
    install_requires=['setuptools', 'numpy', 'pyyaml'],
    extras_require={'bags': ['mcap', 'rosbags'], 'report': ['plotly'], 'nvidia': ['nvidia-ml-py'],
                    'test': ['pytest', 'hypothesis']},
    zip_safe=True,
    maintainer='Allegro AI suite maintainers',
    maintainer_email='maintainers@allegro-ai.example',
    description='Latency, energy, carbon and quality of policy inference at the control rate.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'inference_profiler = allegro_bench.nodes.inference_profiler:main',
            'episode_runner = allegro_bench.nodes.episode_runner:main',
            'bag_recorder = allegro_bench.nodes.bag_recorder:main',
            'bag_player = allegro_bench.nodes.bag_player:main',
            'allegro-bench = allegro_bench.cli:main',
        ],
    },
)
