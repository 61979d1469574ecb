"""Found by a daemon whose PYTHONPATH begins with this folder: it dies at the step that the environment names."""

from tests.support.dying_steps import arm_from_environment

arm_from_environment()
